"""Classification of aiokafka's errors by what each means for the transaction it ended; each class is listed once.

A refusal concerns the transaction's content, and recurs with the same content. A denial needs an operator's fix: a
right, a topic, a setting of the broker. A fence leaves open which dispatcher leads now. Everything else may be chance:
nodes, networks, a coordinator that is loading, a defect of the client. Codes that aiokafka does not know arrive as
UnknownError.
"""

from enum import Enum
from typing import Final

from aiokafka import errors
from aiokafka.errors import BrokerResponseError, kafka_errors

from headrace.broker.core.setback import Setback

_DEFECTS: Final = (TypeError, ValueError, OverflowError)
"""Errors that the client raises for a record that it cannot write; raised elsewhere they can mean anything."""


class InvalidRecordError(BrokerResponseError):  # type: ignore[misc]  # aiokafka is untyped
    """A record that fails the broker's validation for its topic."""

    errno = 87
    message = "INVALID_RECORD"
    description = "The broker refused a record as invalid."


kafka_errors.setdefault(InvalidRecordError.errno, InvalidRecordError)  # else it is an UnknownError (aiokafka 0.14)


class ErrorSubject(Enum):
    """Subject of an error."""

    CONTENT = "content"
    DENIAL = "denial"
    FENCE = "fence"
    CHANCE = "chance"


SETBACKS: Final = {
    ErrorSubject.CONTENT: Setback.REFUSED,
    ErrorSubject.DENIAL: Setback.DENIED,
    ErrorSubject.FENCE: Setback.UNKNOWN,
    ErrorSubject.CHANCE: Setback.UNKNOWN,
}
"""What the core gets: a fence counts as chance, since leadership asks Redis and the ledger after either."""

TABLE: Final[dict[ErrorSubject, tuple[type[Exception], ...]]] = {
    ErrorSubject.CONTENT: (
        InvalidRecordError,
        errors.InvalidTimestampError,
        errors.MessageSizeTooLargeError,
        errors.PolicyViolationError,
        errors.RecordListTooLargeError,
        errors.RecordTooLargeError,
        errors.UnsupportedForMessageFormatError,
    ),
    ErrorSubject.DENIAL: (
        # rights and credentials
        errors.AuthenticationFailedError,
        errors.AuthenticationMethodNotSupported,
        errors.ClusterAuthorizationFailedError,
        errors.DelegationTokenAuthDisabled,
        errors.DelegationTokenAuthorizationFailed,
        errors.DelegationTokenExpired,
        errors.DelegationTokenNotFound,
        errors.DelegationTokenOwnerMismatch,
        errors.DelegationTokenRequestNotAllowed,
        errors.GroupAuthorizationFailedError,
        errors.IllegalSaslStateError,
        errors.InvalidPrincipalType,
        errors.SaslAuthenticationFailed,
        errors.SecurityDisabled,
        errors.TopicAuthorizationFailedError,
        errors.TransactionalIdAuthorizationFailed,
        errors.UnsupportedSaslMechanismError,
        # topics
        errors.InvalidPartitionsError,
        errors.InvalidReplicationAssignmentError,
        errors.InvalidReplicationFactorError,
        errors.InvalidTopicError,
        errors.TopicAlreadyExistsError,
        errors.UnknownTopicOrPartitionError,
        # versions and settings, of the broker or ours
        errors.IncompatibleBrokerVersion,
        errors.InvalidConfigurationError,
        errors.InvalidGroupIdError,
        errors.InvalidTransactionTimeout,
        errors.KafkaConfigurationError,
        errors.ListenerNotFound,
        errors.UnrecognizedBrokerVersion,
        errors.UnsupportedCodecError,
        errors.UnsupportedVersionError,
    ),
    ErrorSubject.FENCE: (
        errors.InvalidProducerEpoch,
        errors.InvalidProducerIdMapping,
        errors.InvalidTxnState,
        errors.ProducerFenced,
        errors.TransactionCoordinatorFenced,
        errors.UnknownProducerId,
    ),
    ErrorSubject.CHANCE: (
        # the network, and nodes that come and go
        errors.BrokerNotAvailableError,
        errors.Cancelled,
        errors.ConcurrentTransactions,
        errors.CoordinatorLoadInProgressError,
        errors.CoordinatorNotAvailableError,
        errors.CorrelationIdError,
        errors.CorruptRecordException,
        errors.KafkaConnectionError,
        errors.KafkaProtocolError,
        errors.KafkaStorageError,
        errors.KafkaTimeoutError,
        errors.KafkaUnavailableError,
        errors.LeaderNotAvailableError,
        errors.LogDirNotFound,
        errors.MetadataEmptyBrokerList,
        errors.NoBrokersAvailable,
        errors.NodeNotReadyError,
        errors.NotControllerError,
        errors.NotCoordinatorError,
        errors.NotEnoughReplicasAfterAppendError,
        errors.NotEnoughReplicasError,
        errors.NotLeaderForPartitionError,
        errors.OperationNotAttempted,
        errors.QuotaViolationError,
        errors.ReassignmentInProgress,
        errors.ReplicaNotAvailableError,
        errors.RequestTimedOutError,
        errors.StaleControllerEpochError,
        errors.StaleLeaderEpochCodeError,
        errors.StaleMetadata,
        errors.TooManyInFlightRequests,
        errors.UnknownError,
        # the client's own state, which its next producer does not share
        errors.BrokerResponseError,
        errors.DuplicateSequenceNumber,
        errors.IllegalArgumentError,
        errors.IllegalOperation,
        errors.IllegalStateError,
        errors.InvalidRequestError,
        errors.InvalidRequiredAcksError,
        errors.KafkaError,
        errors.NoError,
        errors.OutOfOrderSequenceNumber,
        errors.ProducerClosed,
        # the offsets sent with the records: no record is to blame, and those of other partitions may pass
        errors.InvalidCommitOffsetSizeError,
        errors.OffsetMetadataTooLargeError,
        # readers and groups, which no transaction meets
        errors.CommitFailedError,
        errors.ConsumerStoppedError,
        errors.FetchSessionIdNotFound,
        errors.GroupIdNotFound,
        errors.IllegalGenerationError,
        errors.InconsistentGroupProtocolError,
        errors.InvalidFetchRequestError,
        errors.InvalidFetchSessionEpoch,
        errors.InvalidSessionTimeoutError,
        errors.MemberIdRequired,
        errors.NoOffsetForPartitionError,
        errors.NonEmptyGroup,
        errors.OffsetOutOfRangeError,
        errors.RebalanceInProgressError,
        errors.UnknownMemberIdError,
    ),
}

_KIND_OF: Final = {error: kind for kind, classes in TABLE.items() for error in classes}


def kind_of(error: BaseException, *, sending: bool = False) -> ErrorSubject:
    """Classify an error; one that the client raised for a record that it was `sending` is about the content."""
    if sending and isinstance(error, _DEFECTS):
        return ErrorSubject.CONTENT
    return next((_KIND_OF[each] for each in type(error).__mro__ if each in _KIND_OF), ErrorSubject.CHANCE)
