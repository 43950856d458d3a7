"""Models by name, and as others publish and read them: folders of the Hugging Face hub."""

from swinseg.errors import HubError
from swinseg.hub.catalogue import CATALOGUE, PublishedModel
from swinseg.hub.resolve import ModelSource, resolve

__all__ = ['CATALOGUE', 'HubError', 'ModelSource', 'PublishedModel', 'resolve']
