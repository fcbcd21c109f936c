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

// planKeras plans the verification of a .keras archive.
func planKeras(open Opener, c Checkpoint, b *planner) error {
	f := c.Files[0]
	in, err := open(f.Name)
	if err != nil {
		return err
	}
	defer in.Close()
	// A section ends reads outside of the file, to which a damaged directory may point, as the end of it.
	archive, err := zip.NewReader(io.NewSectionReader(in, 0, in.Size()), in.Size())
	if err := zipProblem(f.Name, err); err != nil {
		return err
	}
	for _, needed := range []string{"config.json", "metadata.json"} {
		if !slices.ContainsFunc(archive.File, func(m *zip.File) bool { return m.Name == needed }) {
			return problemf("%s is damaged: it has no %s", f.Name, needed)
		}
	}
	if !slices.ContainsFunc(archive.File, func(m *zip.File) bool {
		return strings.HasPrefix(m.Name, "model") && strings.Contains(m.Name, ".weights.")
	}) {
		return problemf("%s is damaged: it has no weights", f.Name)
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
		case m.Method == zip.Store && size == length:
			b.add(f, at, size, ieee, r)
		case m.Method == zip.Deflate:
			b.addDecoded(f, at, size, r, func(in *bufio.Reader, _ int64) (uint32, error) { return inflatedCRC(in, length) })
		default:
			return problemf("%s is damaged: %s is compressed in an unknown way", f.Name, m.Name)
		}
	}
	return nil
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

// planHDF5 checks the structure of an HDF5 file, and plans to read all of it: no checksum of ours covers the data, but
// HDFS has its own.
func planHDF5(open Opener, c Checkpoint, b *planner) error {
	f := c.Files[slices.IndexFunc(c.Files, func(f File) bool { return f.Name == c.Name })]
	if _, err := datasets(open, f); err != nil {
		return err
	}
	b.add(f, 0, f.Size, castagnoli, region{what: f.Name, unchecked: true})
	return nil
}

func datasets(open Opener, f File) ([]hdf5.Dataset, error) {
	in, err := open(f.Name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	list, err := hdf5.Check(in, in.Size())
	switch {
	case errors.As(err, new(*hdf5.CorruptError)):
		return nil, problemf("%s is damaged: %v", f.Name, err)
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", f.Name, err)
	}
	return list, nil
}
