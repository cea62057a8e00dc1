"""What is left to do for a delivery that the store cannot take: its P0 alerts are paged without a record."""

from responder.engine.rules import ActiveRules
from responder.model.alert import Alert, Delivery, Standing
from responder.model.notification import told_labels
from responder.model.severity import Severity
from responder.ports import EmergencyPage, EmergencyPager


class Unstored:
    """Pages for what fires and is P0 by the rulebook that this process followed last."""

    def __init__(self, rules: ActiveRules, pager: EmergencyPager) -> None:
        self._rules = rules
        self._pager = pager

    def __call__(self, delivery: Delivery) -> None:
        """Ask for the pages of a delivery that was not stored. Never waits."""
        for alert in delivery.alerts:
            page = self._page(delivery.source, alert)
            if page is not None:
                self._pager.page(page)

    def _page(self, source: str, alert: Alert) -> EmergencyPage | None:
        if alert.standing is not Standing.FIRING:
            return None
        taking = self._rules.index.taking(alert.labels)
        rule = next((one for one in taking if one.severity_of(alert.labels) is Severity.P0), None)
        if rule is None:
            return None
        return EmergencyPage(
            source=source,
            fingerprint=alert.fingerprint,
            rule=rule.name,
            runbook_url=rule.runbook_url,
            owner=rule.owner,
            labels=told_labels(alert.labels),
            annotations=told_labels(alert.annotations),
            starts_at=alert.starts_at,
            generator_url=alert.generator_url,
        )


def pages_p0(rules: ActiveRules) -> bool:
    """Whether any active rule can be P0: then somebody should be paged without the database, too."""
    return any(case.severity is Severity.P0 for rule in rules.rulebook.rules for case in rule.severity)
