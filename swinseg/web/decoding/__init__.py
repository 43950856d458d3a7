"""Looking at uploads and decoding them, in processes that are ended when one costs too much."""
