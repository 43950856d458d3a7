"""Reports of evaluations: the record of the figures, and the page that shows them."""
