"""The operator's desk: `router` lets people in, each subject has a module, `tables` draws rows."""
