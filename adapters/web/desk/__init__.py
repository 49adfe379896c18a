"""The operator's desk: `door` lets people in, each subject has a module, `tables` draws rows."""
