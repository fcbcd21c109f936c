package yarn

import "strings"

// Unfit is a reason why a NodeManager cannot bring a file into a container that no further try
// takes away.
type Unfit string

// The reasons.
const (
	UnfitNone    Unfit = ""
	UnfitName    Unfit = "name"    // in the node's locale there is no such name
	UnfitChanged Unfit = "changed" // it is not the file any more that the application named
	UnfitGone    Unfit = "gone"
	UnfitDenied  Unfit = "denied"  // to the application's user
	UnfitArchive Unfit = "archive" // it cannot be unpacked
)

// unfits are the words of Java's exceptions, and of the embedded NodeManager, by which the reasons
// are known: a NodeManager tells no more than the text. What names the moment, a connection or a
// disk, is none of them.
var unfits = []struct {
	reason Unfit
	words  []string
}{
	{UnfitName, []string{"InvalidPathException", "unmappable characters"}},
	{UnfitChanged, []string{"changed on src filesystem"}},
	{UnfitGone, []string{"File does not exist: ", "does not exist: file does not exist"}},
	{UnfitDenied, []string{"AccessControlException", "Permission denied: user="}},
	{UnfitArchive, []string{"ZipException", "zip END header not found", "not in gzip format", "Not in GZIP format", "Error detected parsing the header",
		"Unexpected end of ZLIB input stream", "Unsupported compression method", "not a valid zip file", "invalid tar header"}},
}

// UnfitOf finds the reason in the diagnostics of a container whose files could not be localized.
func UnfitOf(diagnostics string) Unfit {
	for _, u := range unfits {
		for _, w := range u.words {
			if strings.Contains(diagnostics, w) {
				return u.reason
			}
		}
	}
	return UnfitNone
}

// Advice says what to do about it, as a sentence; empty: nothing is known.
func (u Unfit) Advice() string {
	switch u {
	case UnfitName:
		return "The NodeManagers run in a locale that has no such names, LC_ALL=C it may be: have them started with LC_ALL=C.UTF-8, or give the file, or what is in the archive, names in ASCII"
	case UnfitChanged:
		return "The file was written again after the job had been submitted: submit the job anew"
	case UnfitGone:
		return "The file was removed after the job had been submitted: put it back and submit the job anew"
	case UnfitDenied:
		return "The job's user may not read the file on the nodes: have it permitted, with all directories above it"
	case UnfitArchive:
		return "The archive cannot be unpacked: see whether it is whole, and of the kind that its name says"
	}
	return ""
}
