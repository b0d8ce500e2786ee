"""Recipes: what a person may set, where it is read, and what is refused."""

from mmpr.config.chat import ChatSpec
from mmpr.config.pairing import PairingSpec
from mmpr.config.recipe import (
    AdjudicateSpec,
    Columns,
    DropoutSpec,
    DropoutVariant,
    EngineSpec,
    HubSource,
    ImagesSpec,
    MmprSource,
    ModelSpec,
    OptionsSpec,
    PythonSource,
    Recipe,
    RemoteSpec,
    SourceSpec,
    TableSource,
    load_recipe,
    parse_recipe,
)
from mmpr.config.sampling import AdaptiveSpec, SamplingSpec, later_settings
from mmpr.config.settings import Part, fingerprint, parse_settings, read_yaml

__all__ = [
    "AdaptiveSpec",
    "AdjudicateSpec",
    "ChatSpec",
    "Columns",
    "DropoutSpec",
    "DropoutVariant",
    "EngineSpec",
    "HubSource",
    "ImagesSpec",
    "MmprSource",
    "ModelSpec",
    "OptionsSpec",
    "PairingSpec",
    "Part",
    "PythonSource",
    "Recipe",
    "RemoteSpec",
    "SamplingSpec",
    "SourceSpec",
    "TableSource",
    "fingerprint",
    "later_settings",
    "load_recipe",
    "parse_recipe",
    "parse_settings",
    "read_yaml",
]
