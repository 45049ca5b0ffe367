"""What is done with relevance at each kind of function, one module for each family."""
