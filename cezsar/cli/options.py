"""Options of a verb that are made from the hyperparameters of `cezsar.config`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from typing import Annotated, Any

import typer

from cezsar.config import settings as settings_of

Given = dict[type, dict[str, Any]]
"""Class of settings -> the values that were given, and those that differ from its defaults."""


def with_settings(*kinds: type, without: Collection[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turn the parameter `settings` of a verb into an option for each setting of `kinds`; the verb gets a `Given`."""

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        chosen = {
            kind: [each for each in settings_of(kind).values() if each.option and each.name not in without]
            for kind in kinds
        }
        own = inspect.signature(verb, eval_str=True)
        parameters = []
        for parameter in own.parameters.values():
            if parameter.name != "settings":
                parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
                continue
            for setting in (each for group in chosen.values() for each in group):
                option = typer.Option(help=f"{setting.label}. {setting.help}")
                annotation: Any = Annotated[type(setting.default), option]
                kind = inspect.Parameter.KEYWORD_ONLY
                parameters.append(inspect.Parameter(setting.name, kind, default=setting.default, annotation=annotation))

        parameters.append(inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context))

        @functools.wraps(verb)
        def command(**values: Any) -> None:
            context, given = values.pop("context"), Given((kind, {}) for kind in chosen)
            for kind, group in chosen.items():
                for each in group:
                    value = values.pop(each.name)
                    if value != each.default or context.get_parameter_source(each.name).name == "COMMANDLINE":
                        given[kind][each.name] = value
            verb(**values, settings=given)

        command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return decorate
