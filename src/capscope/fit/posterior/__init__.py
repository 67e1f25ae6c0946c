"""What a fit of an item response model knows, outside of torch: abilities, items, draws, advice."""
