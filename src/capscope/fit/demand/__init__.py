"""The demand-ability model: difficulty explained by demands and text."""
