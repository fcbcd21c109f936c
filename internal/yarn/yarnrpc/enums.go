package yarnrpc

import (
	"tfos/internal/enum"
	"tfos/internal/hadoop/pb"
	"tfos/internal/yarn"
)

// What a newer YARN added reads as zero, which is no state that anybody acts on.
var (
	applicationStates = enum.New(map[yarn.ApplicationState]pb.YarnApplicationStateProto{
		yarn.StateNew:       pb.YarnApplicationStateProto_NEW,
		yarn.StateNewSaving: pb.YarnApplicationStateProto_NEW_SAVING,
		yarn.StateSubmitted: pb.YarnApplicationStateProto_SUBMITTED,
		yarn.StateAccepted:  pb.YarnApplicationStateProto_ACCEPTED,
		yarn.StateRunning:   pb.YarnApplicationStateProto_RUNNING,
		yarn.StateFinished:  pb.YarnApplicationStateProto_FINISHED,
		yarn.StateFailed:    pb.YarnApplicationStateProto_FAILED,
		yarn.StateKilled:    pb.YarnApplicationStateProto_KILLED,
	})
	finalStatuses = enum.New(map[yarn.FinalStatus]pb.FinalApplicationStatusProto{
		yarn.FinalUndefined: pb.FinalApplicationStatusProto_APP_UNDEFINED,
		yarn.FinalSucceeded: pb.FinalApplicationStatusProto_APP_SUCCEEDED,
		yarn.FinalFailed:    pb.FinalApplicationStatusProto_APP_FAILED,
		yarn.FinalKilled:    pb.FinalApplicationStatusProto_APP_KILLED,
		yarn.FinalEnded:     pb.FinalApplicationStatusProto_APP_ENDED,
	})
	attemptStates = enum.New(map[yarn.AttemptState]pb.YarnApplicationAttemptStateProto{
		yarn.AttemptNew:             pb.YarnApplicationAttemptStateProto_APP_ATTEMPT_NEW,
		yarn.AttemptSubmitted:       pb.YarnApplicationAttemptStateProto_APP_ATTEMPT_SUBMITTED,
		yarn.AttemptScheduled:       pb.YarnApplicationAttemptStateProto_APP_ATTEMPT_SCHEDULED,
		yarn.AttemptAllocatedSaving: pb.YarnApplicationAttemptStateProto_APP_ATTEMPT_ALLOCATED_SAVING,
		yarn.AttemptAllocated:       pb.YarnApplicationAttemptStateProto_APP_ATTEMPT_ALLOCATED,
		yarn.AttemptLaunched:        pb.YarnApplicationAttemptStateProto_APP_ATTEMPT_LAUNCHED,
		yarn.AttemptFailed:          pb.YarnApplicationAttemptStateProto_APP_ATTEMPT_FAILED,
		yarn.AttemptRunning:         pb.YarnApplicationAttemptStateProto_APP_ATTEMPT_RUNNING,
		yarn.AttemptFinishing:       pb.YarnApplicationAttemptStateProto_APP_ATTEMPT_FINISHING,
		yarn.AttemptFinished:        pb.YarnApplicationAttemptStateProto_APP_ATTEMPT_FINISHED,
		yarn.AttemptKilled:          pb.YarnApplicationAttemptStateProto_APP_ATTEMPT_KILLED,
	})
	containerStates = enum.New(map[yarn.ContainerState]pb.ContainerStateProto{
		yarn.ContainerNew:      pb.ContainerStateProto_C_NEW,
		yarn.ContainerRunning:  pb.ContainerStateProto_C_RUNNING,
		yarn.ContainerComplete: pb.ContainerStateProto_C_COMPLETE,
	})
	nodeStates = enum.New(map[yarn.NodeState]pb.NodeStateProto{
		yarn.NodeNew:             pb.NodeStateProto_NS_NEW,
		yarn.NodeRunning:         pb.NodeStateProto_NS_RUNNING,
		yarn.NodeUnhealthy:       pb.NodeStateProto_NS_UNHEALTHY,
		yarn.NodeDecommissioned:  pb.NodeStateProto_NS_DECOMMISSIONED,
		yarn.NodeLost:            pb.NodeStateProto_NS_LOST,
		yarn.NodeRebooted:        pb.NodeStateProto_NS_REBOOTED,
		yarn.NodeDecommissioning: pb.NodeStateProto_NS_DECOMMISSIONING,
		yarn.NodeShutdown:        pb.NodeStateProto_NS_SHUTDOWN,
	})
	visibilities = enum.New(map[yarn.Visibility]pb.LocalResourceVisibilityProto{
		yarn.Public:      pb.LocalResourceVisibilityProto_PUBLIC,
		yarn.Private:     pb.LocalResourceVisibilityProto_PRIVATE,
		yarn.Application: pb.LocalResourceVisibilityProto_APPLICATION,
	})
	signals = enum.New(map[yarn.Signal]pb.SignalContainerCommandProto{
		yarn.SignalThreadDump: pb.SignalContainerCommandProto_OUTPUT_THREAD_DUMP,
		yarn.SignalGraceful:   pb.SignalContainerCommandProto_GRACEFUL_SHUTDOWN,
		yarn.SignalForceful:   pb.SignalContainerCommandProto_FORCEFUL_SHUTDOWN,
	})
)
