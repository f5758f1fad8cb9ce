"""From a config's entry to the model behind it."""

from __future__ import annotations

from picoclaw.config import ModelEntry
from picoclaw.errors import ConfigInvalid
from picoclaw.model import ChatModel
from picoclaw.ollama_model import OllamaModel
from picoclaw.openai_model import OpenAIModel


def model_of(entry: ModelEntry) -> ChatModel:
    """Its adapter: provider ``ollama`` is spoken to by Ollama's own API, every other as OpenAI's.

    Nothing connects. ConfigInvalid when the entry has no address, or none that can be one.
    """
    if not entry.api_base.strip():
        raise ConfigInvalid(
            f'the model "{entry.model_name}" has no address; give its server\'s as "api_base" in model_list'
        )
    return OllamaModel(entry) if entry.provider == "ollama" else OpenAIModel(entry)
