package checkpoint

import (
	"archive/zip"
	"bufio"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"tfos/internal/checkpoint/hdf5"
)

// planKeras plans the verification of a .keras archive. Under that name older versions of Keras
// write HDF5 as well.
func planKeras(open Opener, c Checkpoint, b *planner) error {
	f := c.Files[0]
	in, err := open(f.Name)
	if err != nil {
		return err
	}
	defer in.Close()
	if _, found, err := hdf5.Find(in, in.Size()); err != nil || found {
		if err != nil {
			return fmt.Errorf("read %s: %w", f.Name, err)
		}
		return planHDF5(open, f, b)
	}
	// A section ends reads outside of the file, to which a damaged directory may point, as the end
	// of it.
	archive, err := zip.NewReader(io.NewSectionReader(in, 0, in.Size()), in.Size())
	if err := zipProblem(f.Name, err); err != nil {
		return err
	}
	if !asKerasWrites(archive) {
		b.doubt("%s is no archive as Keras writes it: it lacks config.json, metadata.json or the weights", f.Name)
	}
	for _, m := range archive.File {
		at, err := m.DataOffset()
		if err := zipProblem(f.Name, err); err != nil {
			return err
		}
		size, length := int64(m.CompressedSize64), int64(m.UncompressedSize64)
		r := region{what: fmt.Sprintf("%s in %s", m.Name, f.Name), want: m.CRC32}
		switch {
		case at < 0 || size < 0 || length < 0 || at > f.Size-size:
			return problemf("%s is damaged: %s reaches beyond its end", f.Name, m.Name)
		case m.Flags&encrypted != 0 || m.Method != zip.Store && m.Method != zip.Deflate:
			b.doubt("%s in %s is encrypted, or compressed in a way that tfos does not know", m.Name, f.Name)
			b.add(f, at, size, ieee, region{what: r.what, unchecked: true})
		case m.Method == zip.Store && size == length:
			b.add(f, at, size, ieee, r)
		case m.Method == zip.Deflate:
			b.addDecoded(f, at, size, r, func(in *bufio.Reader, _ int64) (uint32, error) { return inflatedCRC(in, length) })
		default:
			return problemf("%s is damaged: %s has %d bytes, should have %d", f.Name, m.Name, size, length)
		}
	}
	return nil
}

// encrypted is a bit of a member's flags.
const encrypted = 1 << 0

// asKerasWrites reports whether an archive has what Keras puts into each.
func asKerasWrites(archive *zip.Reader) bool {
	has := func(is func(name string) bool) bool {
		return slices.ContainsFunc(archive.File, func(m *zip.File) bool { return is(m.Name) })
	}
	return has(func(name string) bool { return name == "config.json" }) &&
		has(func(name string) bool { return name == "metadata.json" }) &&
		has(func(name string) bool { return strings.HasPrefix(name, "model") && strings.Contains(name, ".weights.") })
}

func zipProblem(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, zip.ErrFormat), errors.Is(err, zip.ErrAlgorithm), errors.Is(err, zip.ErrChecksum), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return problemf("%s is damaged: it is no whole archive", name)
	}
	return fmt.Errorf("read %s: %w", name, err)
}

// inflatedCRC is the checksum of what r decompresses to, which is length bytes.
func inflatedCRC(r *bufio.Reader, length int64) (uint32, error) {
	crc, err := ieeeCRC(flate.NewReader(r), length)
	var damaged flate.CorruptInputError
	if errors.As(err, &damaged) || errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, problemf("is damaged: it cannot be decompressed")
	}
	return crc, err
}

// planHDF5 checks the structure of an HDF5 file, and plans to read it.
func planHDF5(open Opener, f File, b *planner) error {
	contents, err := hdf5Contents(open, f)
	if err != nil {
		return err
	}
	b.hdf5(f, contents)
	return nil
}
