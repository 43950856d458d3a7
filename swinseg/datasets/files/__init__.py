"""Image files: finding and pairing them, reading their headers, and decoding their pixels."""
