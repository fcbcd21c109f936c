package job

// Part is what a role's tasks do in the job. Every rule about who does what is in this file; the
// rest of the program asks.
type Part string

// The parts.
const (
	PartTrains    Part = "trains"    // takes part in the training itself
	PartServes    Part = "serves"    // holds the model's variables: a parameter server
	PartEvaluates Part = "evaluates" // looks on, in nobody's cluster
	PartAids      Part = "aids"      // any other service, TensorBoard's among them
)

// Part is what the role's tasks do. With parameter servers (StrategyParameterServer, StrategyV1) a
// role is what its name says to TensorFlow: workers there only serve their coordinator, so that
// people declare them as services, and they are no parameter servers for that. A program that calls
// its parameter servers otherwise has no role ps, and its services are them.
func (j Job) Part(role string) Part {
	r, _ := j.Role(role)
	switch role {
	case Evaluator:
		return PartEvaluates
	case TensorBoard:
		return PartAids
	}
	if j.Strategy == StrategyParameterServer || j.Strategy == StrategyV1 {
		_, named := j.Role(ParameterServer)
		switch {
		case role == ParameterServer, r.Service && !named && !isTrainer(role):
			return PartServes
		case isTrainer(role):
			return PartTrains
		}
	}
	if r.Service {
		return PartAids
	}
	return PartTrains
}

// isTrainer reports whether TensorFlow knows the role as one that trains.
func isTrainer(role string) bool { return role == Chief || role == Master || role == Worker }

// Trains reports whether the role's tasks take part in the training itself.
func (j Job) Trains(role string) bool { return j.Part(role) == PartTrains }

// Trainers is how many tasks do.
func (j Job) Trainers() int {
	n := 0
	for _, r := range j.Roles {
		if j.Trains(r.Name) {
			n += r.Instances
		}
	}
	return n
}

// Alone reports whether there can be one task of the role only.
func Alone(role string) bool { return role == Chief || role == Master || Apart(role) }

// Apart reports whether the role's tasks only look on: they are in nobody's cluster but their own,
// as TensorFlow would wait for them there.
func Apart(role string) bool { return role == Evaluator || role == TensorBoard }

// ChiefRole is the role of the chief, by either of its names.
func (j Job) ChiefRole() (Role, bool) {
	if r, ok := j.Role(Chief); ok {
		return r, true
	}
	return j.Role(Master)
}

// Leader is the task that leads the others: the chief, or where there is none what TensorFlow takes
// for one, worker/0, or else the first task that trains. It coordinates, and is whose log `tfos
// run` follows.
func (j Job) Leader() Task {
	if r, ok := j.ChiefRole(); ok {
		return Task{r.Name, 0}
	}
	if _, ok := j.Role(Worker); ok && j.Trains(Worker) {
		return Task{Worker, 0}
	}
	for _, is := range []func(Role) bool{
		func(r Role) bool { return j.Trains(r.Name) },
		func(r Role) bool { return !r.Service },
	} {
		for _, r := range j.Roles {
			if is(r) {
				return Task{r.Name, 0}
			}
		}
	}
	return Task{j.Roles[0].Name, 0}
}

// Board is the task that has the job's TensorBoard; false: none has.
func (j Job) Board() (Task, bool) {
	if _, ok := j.Role(TensorBoard); ok {
		return Task{TensorBoard, 0}, true
	}
	return j.Leader(), j.OwnBoard
}

// Decides reports whether the job's success waits for the clean exit of this role's tasks. An
// evaluator alone does not keep a job up whose training has ended, unless there is nothing else, or
// the file says so.
func (j Job) Decides(role string) bool {
	r, ok := j.Role(role)
	switch j.Success {
	case SuccessChief:
		chief, has := j.ChiefRole()
		return has && role == chief.Name
	case SuccessAll:
		return ok && !r.Service && (role != Evaluator || !j.works())
	}
	return ok && role == string(j.Success)
}

// works reports whether a role besides the evaluator ends by itself.
func (j Job) works() bool {
	for _, r := range j.Roles {
		if r.Name != Evaluator && !r.Service {
			return true
		}
	}
	return false
}
