"""Item banks: what past models' answers taught about items."""
