"""The root of every error whose message is written for users: what went wrong, and what to do.

The command line prints the message as one line and exits with the error's code; any other exception is a fault of the
program.

    UserError                       exit code 1: it failed
      models
        ArtefactError               the file is no model that may serve
        BudgetError                 no alert budget, or none that can be had on these rows
        DataError                   the data cannot be used
        EvaluationError             nothing can be measured on these rows
        LimitsError                 the file of the gates' limits is wrong; exit code 2: called wrongly
        RegistryError               the model registry cannot be used
        SignatureError              no valid signature, or a key that cannot be used
        DefinitionError             a detector's definition or a training configuration is wrong
        TrainingError               no model can be made of this
        WindowsError                windows that cannot be computed, or state that is not of these windows
      schemas
        TomlError                   a file that a person wrote cannot be read; exit code 2
      stream_app
        BrokerError                 Kafka cannot do what was asked
          BrokerNotStarted
          BrokerUnavailable
          NotAuthorised
          NotGranted
          NotPublished
          TopicConflict
          TopicMissing
        FetchError                  an artefact cannot be fetched
        PipelineError               records cannot be read or written on
          PipelineFailed            a person must act
          SessionLost               the clients must be opened anew
        ReplayError                 it cannot be replayed
        RecordsError                no record can be read as the definition says
        ReportError                 a drift report cannot be made
        SchemaRegistryError         the schema registry cannot be asked
        SettingsError               a setting is wrong; exit code 2
        Unfit                       the machine is not as a worker needs it
        WorkersRun                  workers run where none may
"""

from typing import ClassVar


class UserError(Exception):
    """Something cannot be done; the message says why, and what to do.

    Attributes:
        exit_code: Of the program that ends with it: 1 for a failure, 2 for a wrong call.
    """

    exit_code: ClassVar[int] = 1
