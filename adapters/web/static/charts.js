// Draws the charts of a page from what stands at each of them. The tables have the same numbers.
(() => {
  "use strict";
  const HEIGHT = 190;
  const INCREMENTS = [1, 2, 5, 7, 10, 15, 30];
  const FONT = "12px system-ui, sans-serif";
  // Between a label and the plot, and a little at the edge.
  const LABEL_GAP = 10;
  // Of more values than this, dots would run into each other.
  const MOST_DOTS = 31;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const figures = [...document.querySelectorAll("[data-chart]")];
  const drawn = new Map();

  // Bars stand upon each other: each is drawn with all that are below it, the highest first.
  const stack = (series) => {
    const sums = [];
    let below = null;
    for (const each of series) {
      below = each.values.map((value, at) => (value || 0) + (below ? below[at] : 0));
      sums.push(below);
    }
    return sums;
  };

  const pen = document.createElement("canvas").getContext("2d");
  const widest = (labels) => {
    pen.font = FONT;
    return Math.ceil(Math.max(...labels.map((each) => pen.measureText(each).width)));
  };

  const to_series = (each, at, shape) => {
    const stroke = colour(`--series-${at + 1}`);
    const said = (_plot, _value, _series, day) => (day === null ? "–" : each.said[day]);
    if (shape === "bars") {
      const paths = uPlot.paths.bars({ size: [0.72, 28], radius: 0.15 });
      return { label: each.name, stroke, fill: stroke, width: 0, points: { show: false }, paths, value: said };
    }
    // A line needs two days; without a dot one alone would not be seen.
    const show = each.values.filter((value) => value !== null).length <= MOST_DOTS;
    return { label: each.name, stroke, width: 2, points: { show, size: 7, fill: stroke }, spanGaps: true, value: said };
  };

  const draw = (figure) => {
    const chart = JSON.parse(figure.dataset.chart);
    const plot = figure.querySelector(".plot");
    const isBars = chart.shape === "bars";
    const values = isBars ? stack(chart.series) : chart.series.map((each) => each.values);
    const order = chart.series.map((_, at) => at);
    if (isBars) order.reverse();
    const ink = colour("--soft"), line = colour("--line");
    const axis = { stroke: ink, font: FONT, ticks: { show: false } };
    const last = chart.days.length - 1;
    const options = {
      width: Math.max(200, plot.clientWidth),
      height: HEIGHT,
      cursor: { y: false, drag: { setScale: false, x: false }, points: { show: !isBars } },
      legend: { live: true, markers: { width: 0, fill: (_plot, at) => colour(`--series-${order[at - 1] + 1}`) } },
      scales: { x: { time: false, range: [-0.6, last + 0.6] }, y: { range: [0, chart.ticks.at(-1)] } },
      axes: [
        { ...axis, grid: { show: false }, size: 32, incrs: INCREMENTS, space: 52, values: (_plot, at) => at.map((day) => chart.days[day] || "") },
        { ...axis, grid: { stroke: line, width: 1 }, size: widest(chart.labels) + LABEL_GAP, splits: () => chart.ticks, values: () => chart.labels },
      ],
      series: [
        { label: "day", value: (_plot, day) => (day === null ? "–" : chart.days[day]) },
        ...order.map((at) => to_series(chart.series[at], at, chart.shape)),
      ],
    };
    drawn.get(figure)?.destroy();
    drawn.set(figure, new uPlot(options, [chart.days.map((_, at) => at), ...order.map((at) => values[at])], plot));
  };

  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const chart = drawn.get(target.parentElement);
      const width = Math.max(200, target.clientWidth);
      if (chart && chart.width !== width) chart.setSize({ width, height: HEIGHT });
    }
  });
  for (const figure of figures) {
    draw(figure);
    resized.observe(figure.querySelector(".plot"));
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => figures.forEach(draw));
})();
