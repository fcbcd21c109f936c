package column

import "math"

// bfloatOf rounds to the nearest bfloat16, ties to even, as TensorFlow does.
func bfloatOf(f float32) uint16 {
	b := math.Float32bits(f)
	if f != f {
		return 0x7fc0
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// halfOf rounds to the nearest float16 of IEEE 754, ties to even.
func halfOf(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b >> 16 & 0x8000)
	abs := b & 0x7fffffff
	switch {
	case abs > 0x7f800000: // no number
		return sign | 0x7e00
	case abs >= 0x477ff000: // rounds to more than the greatest, 65504
		return sign | 0x7c00
	case abs < 0x33000001: // rounds to zero: at most half of the smallest, 2^-24
		return sign
	case abs < 0x38800000: // below 2^-14 the exponent is fixed, and the leading one is written
		shift := 126 - abs>>23
		mantissa := abs&0x7fffff | 0x800000
		rest := mantissa & (1<<shift - 1)
		half := uint16(mantissa >> shift)
		if rest > 1<<(shift-1) || rest == 1<<(shift-1) && half&1 == 1 {
			half++
		}
		return sign | half
	}
	abs -= 112 << 23 // the difference of the exponents' biases
	return sign | uint16((abs+0xfff+abs>>13&1)>>13)
}

// ofHalf is the value of a float16.
func ofHalf(h uint16) float32 {
	sign, exponent, mantissa := uint32(h)>>15<<31, h>>10&0x1f, uint32(h&0x3ff)
	switch exponent {
	case 0:
		f := float32(mantissa) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | mantissa<<13)
	}
	return math.Float32frombits(sign | (uint32(exponent)+112)<<23 | mantissa<<13)
}
