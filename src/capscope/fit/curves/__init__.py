"""Subject characteristic curves: success against demand level, classical and hierarchical."""
