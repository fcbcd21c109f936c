package checkpoint

// Exported reports whether it is a model for serving: a program does not go on training from one.
func (c Checkpoint) Exported() bool { return c.Format == SavedModel }
