"""Generated stubs of package countersign.v1, one module per service and its messages."""
