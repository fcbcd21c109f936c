package yarn

// MarshalText makes a container's id a JSON string.
func (id ContainerID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *ContainerID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseContainerID(string(b))
	return err
}

// MarshalText makes a node's id a JSON string.
func (n NodeID) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (n *NodeID) UnmarshalText(b []byte) (err error) {
	*n, err = ParseNodeID(string(b))
	return err
}
