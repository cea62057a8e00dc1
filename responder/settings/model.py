"""All settings as one frozen value. Each package owns its own; here they are only put together."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from responder.actions.settings import InventorySettings, NamedQuery
from responder.clients.http import Access
from responder.decide.case import Terms
from responder.engine.settings import EngineSettings
from responder.model.base import Frozen
from responder.model.matcher import Matcher
from responder.model.policy import LOG, EscalationPolicy
from responder.model.redaction import Redaction, RedactionSettings
from responder.model.severity import MANUAL_TERMS, Severities
from responder.notify.settings import (
    ChannelName,
    ChannelSettings,
    DeadMansSwitchSettings,
    EmergencySettings,
    NotificationSettings,
)
from responder.rulebook.mistake import did_you_mean
from responder.settings.elsewhere import Mistaken, elsewhere
from responder.sources.settings import ApiUrl, SourceSettings
from responder.store.settings import StoreSettings
from responder.telemetry import LogSettings
from responder.web.settings import WebSettings

PREFIX = "RESPONDER_"
NESTED = "__"


def _named(value: Any) -> Any:
    """The name of a source is its key; it is not written twice."""
    if not isinstance(value, Mapping):
        return value
    return {
        name: {"name": name, **source} if isinstance(source, Mapping) else source
        for name, source in value.items()
    }


def _listed(value: Any) -> Any:
    """A single path, or several with commas between them, as a variable gives them."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


class PrometheusSettings(Frozen):
    """The Prometheus that promql probes ask."""

    url: ApiUrl
    api: Access = Access()


class Settings(StoreSettings, BaseSettings):
    """Everything that an operator decides. The store's settings stand at the top, for there is one store."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        env_prefix=PREFIX,
        env_nested_delimiter=NESTED,
    )

    sources: Annotated[dict[str, SourceSettings], BeforeValidator(_named)] = Field(default_factory=dict)
    inventory: InventorySettings = InventorySettings()
    queries: dict[str, NamedQuery] = Field(default_factory=dict)
    prometheus: PrometheusSettings | None = None
    rules: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_listed)] = ()
    """Rule files, and directories whose `*.yaml` and `*.yml` are rule files."""
    watch_rules: bool = False
    """Whether they are activated when they change and then stand still for a second; else on command."""
    severities: Severities = Field(default=MANUAL_TERMS)
    """What P0 to P3 promise people; what is left out is as the operations manual has it."""
    policies: dict[str, EscalationPolicy] = Field(default_factory=dict)
    """Who is told, level by level, under the names that severities give."""
    engine: EngineSettings = EngineSettings()
    web: WebSettings = WebSettings()
    redaction: RedactionSettings = RedactionSettings()
    """What is secret in alerts and texts, beside the forms that are known by themselves."""
    channels: dict[ChannelName, ChannelSettings] = Field(default_factory=dict)
    """Ways to people beside the log, by the names that escalation policies use."""
    notifications: NotificationSettings = NotificationSettings()
    """How long words to people are tried and kept."""
    emergency: EmergencySettings = EmergencySettings()
    """Who is paged for a P0 while the database is away."""
    dead_mans_switch: DeadMansSwitchSettings = DeadMansSwitchSettings()
    """Who notices when the responder itself falls silent."""
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic-settings's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What `given` gathered is all there is: no value comes from where no origin is known."""
        return (init_settings,)

    @model_validator(mode="after")
    def _no_open_door(self) -> Self:
        """Whoever reaches the listener can set off actions or stop them all: they must prove who they are."""
        if self.web.listen.loopback:
            return self
        if not self.web.guarded:
            raise ValueError(
                f"web.listen is {self.web.listen}, which others can reach, and web.api_token is not set: "
                "set it (or web.api_token_file), name people under web.people, or listen on 127.0.0.1"
            )
        if names := self.open_sources:
            raise ValueError(
                f"web.listen is {self.web.listen}, which others can reach, and anybody could post as "
                f"{', '.join(names)}: give each source a token, or listen on 127.0.0.1"
            )
        return self

    @model_validator(mode="after")
    def _no_redacted_label_is_asked(self) -> Self:
        """A ceiling that can never match would let more happen than the operator wrote."""
        redaction = Redaction(self.redaction, b"")
        for field, matchers in self._matchers():
            for one in matchers:
                if redaction.hides_label(one.name) and not one.asks_for_presence:
                    raise ValueError(
                        f"{field}: `{one}` asks for the value of a label that is redacted before anything is "
                        f"matched; ask whether it is there, or take {one.name} out of redaction.labels"
                    )
        return self

    def _matchers(self) -> Iterator[tuple[str, Iterable[Matcher]]]:
        for at, ceiling in enumerate(self.engine.ceilings):
            yield f"engine.ceilings[{at}].match", ceiling.match
        for at, freeze in enumerate(self.engine.freezes):
            yield f"engine.freezes[{at}].match", freeze.match
        for name, person in self.web.people.items():
            for at, grant in enumerate(person.grants):
                yield f"web.people.{name}.grants[{at}].scope", grant.scope
        for at, server in enumerate(self.inventory.postgres):
            yield f"inventory.postgres[{at}].matches", server.matches

    @model_validator(mode="after")
    def _people_are_told_somewhere(self) -> Self:
        """A name that leads nowhere would be found out in the night, when nobody is told."""
        mistaken = [*self._absent_policies(), *self._absent_channels()]
        if mistaken:
            raise elsewhere(mistaken)
        return self

    def _absent_policies(self) -> Iterator[Mistaken]:
        for severity, terms in self.severities.items():
            if terms.policy is not None and terms.policy not in self.policies:
                text = f"there is no policy {terms.policy!r}"
                mend = f"Add it: policies: {{{terms.policy}: {{levels: [{{channels: [{LOG}]}}]}}}}"
                if self.policies:
                    mend = did_you_mean(terms.policy, self.policies, "policies")
                yield Mistaken(("severities", severity.value, "policy"), text, mend)

    def _absent_channels(self) -> Iterator[Mistaken]:
        for name, policy in self.policies.items():
            for at, level in enumerate(policy.levels):
                for number, channel in enumerate(level.channels):
                    if channel not in self.channel_names:
                        path = ("policies", name, "levels", at, "channels", number)
                        mend = did_you_mean(channel, self.channel_names, "channels")
                        yield Mistaken(path, f"there is no channel {channel!r}", mend)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """What a policy may name."""
        return (LOG, *self.channels)

    @property
    def terms(self) -> Terms:
        """Everything that decisions need of these settings."""
        return Terms(**dict(self.engine.terms), severities=self.severities, policies=self.policies)

    @property
    def store(self) -> StoreSettings:
        """The store's part alone."""
        return StoreSettings.model_construct(
            **{name: getattr(self, name) for name in StoreSettings.model_fields}
        )

    @property
    def open_sources(self) -> tuple[str, ...]:
        """The sources as which anybody may post who reaches the listener."""
        return tuple(
            name
            for name, source in self.sources.items()
            if source.token is None and source.token_file is None and source.username is None
        )
