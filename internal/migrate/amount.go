package migrate

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// mebibytes writes an amount as job files have it.
func mebibytes(mib int64) string {
	if mib > 0 && mib%1024 == 0 {
		return strconv.FormatInt(mib/1024, 10) + "GiB"
	}
	return strconv.FormatInt(mib, 10) + "MiB"
}

// memory reads an amount whose units are these, in bytes; a bare number is in units of bare.
func memory(s string, units map[string]float64, bare float64) (string, error) {
	digits := strings.TrimLeft(s, "0123456789.+eE")
	number, unit := s[:len(s)-len(digits)], strings.TrimSpace(digits)
	if unit == "" && strings.HasSuffix(number, "E") { // Kubernetes' exabytes
		number, unit = number[:len(number)-1], "E"
	}
	factor, ok := units[unit]
	if unit == "" {
		factor, ok = bare, true
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !ok || n < 0 || n*factor > 1<<60 {
		return "", fmt.Errorf("%q is not an amount of memory", s)
	}
	return mebibytes(int64(math.Ceil(n * factor / (1 << 20)))), nil
}

// binaryUnits are Hadoop's and the JVM's: all are powers of 1024.
var binaryUnits = map[string]float64{
	"k": 1 << 10, "K": 1 << 10, "m": 1 << 20, "M": 1 << 20, "g": 1 << 30, "G": 1 << 30, "t": 1 << 40, "T": 1 << 40,
	"mb": 1 << 20, "MB": 1 << 20, "gb": 1 << 30, "GB": 1 << 30,
}

// mixedUnits tell powers of 1000 from those of 1024, as skein's and Kubernetes' do.
var mixedUnits = map[string]float64{
	"k": 1e3, "K": 1e3, "KB": 1e3, "kB": 1e3, "M": 1e6, "MB": 1e6, "G": 1e9, "GB": 1e9, "T": 1e12, "TB": 1e12, "P": 1e15, "E": 1e18,
	"Ki": 1 << 10, "KiB": 1 << 10, "Mi": 1 << 20, "MiB": 1 << 20, "Gi": 1 << 30, "GiB": 1 << 30, "Ti": 1 << 40, "TiB": 1 << 40, "m": 1e-3, "B": 1, "b": 1,
}

// cores reads Kubernetes' amount of processors: 2, 0.5, 500m. A part of one counts as a whole one.
func cores(s string) (string, error) {
	number, factor := s, 1.0
	if m, ok := strings.CutSuffix(s, "m"); ok {
		number, factor = m, 1e-3
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || n < 0 || n > 1e6 {
		return "", fmt.Errorf("%q is not a number of processors", s)
	}
	return strconv.FormatInt(max(1, int64(math.Ceil(n*factor))), 10), nil
}

// length writes a length of time given as a whole number of units; 0 and less are none.
func length(s string, unit time.Duration) (text string, none bool, err error) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || n > math.MaxInt64/int64(unit) {
		return "", false, fmt.Errorf("%q is not a length of time", s)
	}
	if n <= 0 {
		return "", true, nil
	}
	text = (time.Duration(n) * unit).String()
	if t, ok := strings.CutSuffix(text, "m0s"); ok {
		text = t + "m"
	}
	if t, ok := strings.CutSuffix(text, "h0m"); ok {
		text = t + "h"
	}
	return text, false, nil
}
