"""The model card that rows are validated against: the last one that a worker announced."""

import structlog
from pydantic import ValidationError

from shared.card import ModelCard, ModelRef
from shared.errors import ModelUnknown, RecordIncompatible, SepalError

log = structlog.get_logger(__name__)


class CurrentModel:
    """The current card; a new announcement replaces it."""

    def __init__(self) -> None:
        self._announced: bytes | None = None
        self._card: ModelCard | None = None
        self.ref_json = b""
        """The card's name, version and digest, as JSON; empty while there is no card."""

    @property
    def card(self) -> ModelCard:
        """The current card.

        Raises:
            ModelUnknown: no worker has announced one.
            RecordIncompatible: the announced card was written by another version of Sepal.
        """
        if self._card is None:
            raise self.missing_error or ModelUnknown
        return self._card

    @property
    def ref(self) -> ModelRef | None:
        """The card's name, version and digest; None while there is no card."""
        return None if self._card is None else self._card.ref

    @property
    def missing_error(self) -> SepalError | None:
        """The reason why there is no card; None while there is one."""
        if self._card is not None:
            return None
        return RecordIncompatible() if self._announced else ModelUnknown()

    def replace(self, card_json: bytes) -> None:
        """Replace the card if the announced one differs."""
        if card_json == self._announced:
            return
        self._announced, self._card = card_json, None
        try:
            card = ModelCard.model_validate_json(card_json)
        except ValidationError as error:
            log.error("cannot read the announced model card", reason=str(error))
            return
        self._card, self.ref_json = card, card.ref.model_dump_json().encode()
        log.info("replaced the model card", name=card.name, version=card.version, digest=card.digest)
