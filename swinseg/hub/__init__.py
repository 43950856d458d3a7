"""Models as others publish and read them: folders of the Hugging Face hub."""
