package yarnrpc

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/yarn"
)

// The identifiers inside YARN's tokens, for the one who issues and checks them: the embedded YARN.
// Everyone else passes tokens on unopened.

// keyID is the number of the only key that the embedded YARN signs with.
const keyID = 1

// MasterTokenID is the attempt that an AMRMToken speaks for.
type MasterTokenID struct{ Attempt yarn.AttemptID }

// Marshal is the identifier as it stands in a token.
func (id MasterTokenID) Marshal() ([]byte, error) {
	return proto.Marshal(&pb.AMRMTokenIdentifierProto{AppAttemptId: attemptIDToPB(id.Attempt), KeyId: proto.Int32(keyID)})
}

// ParseMasterTokenID reads what Marshal wrote.
func ParseMasterTokenID(b []byte) (MasterTokenID, error) {
	p := new(pb.AMRMTokenIdentifierProto)
	if err := proto.Unmarshal(b, p); err != nil {
		return MasterTokenID{}, fmt.Errorf("AMRMToken identifier: %w", err)
	}
	return MasterTokenID{attemptIDFromPB(p.GetAppAttemptId())}, nil
}

// NodeTokenID is the attempt that an NMToken speaks for, and the node that it is for.
type NodeTokenID struct {
	Attempt yarn.AttemptID
	Node    yarn.NodeID
	User    string
}

// Marshal is the identifier as it stands in a token.
func (id NodeTokenID) Marshal() ([]byte, error) {
	return proto.Marshal(&pb.NMTokenIdentifierProto{AppAttemptId: attemptIDToPB(id.Attempt), NodeId: nodeIDToPB(id.Node), AppSubmitter: &id.User, KeyId: proto.Int32(keyID)})
}

// ParseNodeTokenID reads what Marshal wrote.
func ParseNodeTokenID(b []byte) (NodeTokenID, error) {
	p := new(pb.NMTokenIdentifierProto)
	if err := proto.Unmarshal(b, p); err != nil {
		return NodeTokenID{}, fmt.Errorf("NMToken identifier: %w", err)
	}
	return NodeTokenID{attemptIDFromPB(p.GetAppAttemptId()), nodeIDFromPB(p.GetNodeId()), p.GetAppSubmitter()}, nil
}

// ContainerTokenID is what a container's token grants.
type ContainerTokenID struct {
	Container yarn.ContainerID
	Node      yarn.NodeID
	User      string
	Resource  yarn.Resource
	Priority  int32
	AskID     int64
	Created   time.Time
	Expires   time.Time
	RM        time.Time // when the ResourceManager that granted it started
	Master    bool      // of its application
}

// Marshal is the identifier as it stands in a token.
func (id ContainerTokenID) Marshal() ([]byte, error) {
	kind := pb.ContainerTypeProto_TASK
	if id.Master {
		kind = pb.ContainerTypeProto_APPLICATION_MASTER
	}
	return proto.Marshal(&pb.ContainerTokenIdentifierProto{
		ContainerId: containerIDToPB(id.Container), NmHostAddr: proto.String(id.Node.String()), AppSubmitter: &id.User,
		Resource: resourceToPB(id.Resource), ExpiryTimeStamp: timeToPB(id.Expires), MasterKeyId: proto.Int32(keyID), RmIdentifier: timeToPB(id.RM),
		Priority: priorityToPB(id.Priority), CreationTime: timeToPB(id.Created), ContainerType: kind.Enum(), AllocationRequestId: &id.AskID,
	})
}

// ParseContainerTokenID reads what Marshal wrote.
func ParseContainerTokenID(b []byte) (ContainerTokenID, error) {
	p := new(pb.ContainerTokenIdentifierProto)
	if err := proto.Unmarshal(b, p); err != nil {
		return ContainerTokenID{}, fmt.Errorf("container token identifier: %w", err)
	}
	node, err := yarn.ParseNodeID(p.GetNmHostAddr())
	if err != nil {
		return ContainerTokenID{}, fmt.Errorf("container token identifier: %w", err)
	}
	return ContainerTokenID{
		Container: containerIDFromPB(p.GetContainerId()), Node: node, User: p.GetAppSubmitter(), Resource: resourceFromPB(p.GetResource()),
		Priority: p.GetPriority().GetPriority(), AskID: p.GetAllocationRequestId(), Created: timeFromPB(p.GetCreationTime()), Expires: timeFromPB(p.GetExpiryTimeStamp()),
		RM: timeFromPB(p.GetRmIdentifier()), Master: p.GetContainerType() == pb.ContainerTypeProto_APPLICATION_MASTER,
	}, nil
}
