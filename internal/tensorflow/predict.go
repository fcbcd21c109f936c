package tensorflow

import (
	"fmt"

	"tfos/internal/predict/column"
	"tfos/internal/savedmodel"
)

// Predict runs the function on rows: a column for each input of the signature, in its order. It
// gives a column for each output, in theirs, with as many rows. An error about one row is a
// *column.RowError. It is safe for concurrent use.
func (f *Function) Predict(columns []column.Column) (_ []column.Column, err error) {
	inputs := make([]*Tensor, 0, len(columns))
	defer func() { closeAll(inputs) }()
	for i := range columns {
		t, err := f.input(f.Signature.Inputs[i], &columns[i])
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, t)
	}
	results, err := f.Run(inputs)
	if err != nil {
		return nil, err
	}
	defer closeAll(results)
	rows := columns[0].Rows()
	outputs := make([]column.Column, len(results))
	for i, r := range results {
		t := f.Signature.Outputs[i]
		if len(r.Dims) == 0 || r.Dims[0] != int64(rows) {
			return nil, fmt.Errorf("the model gave %s with the dimensions %v for %d rows: its first dimension must count the rows", t.Name, r.Dims, rows)
		}
		if outputs[i], err = column.Read(t.Name, r.Type, r.Dims, r.Bytes(), r.Strings()); err != nil {
			return nil, err
		}
	}
	return outputs, nil
}

// input makes a tensor of a column.
func (f *Function) input(t savedmodel.Tensor, c *column.Column) (*Tensor, error) {
	dims, err := c.Dims(t)
	if err != nil {
		return nil, err
	}
	if !column.Fits(c.Kind, t.Type) {
		return nil, fmt.Errorf("%s holds %s, and the model takes %s", c.Name, c.Kind, t)
	}
	tensor, err := f.l.NewTensor(t.Type, dims)
	if err != nil {
		return nil, err
	}
	if t.Type == savedmodel.String {
		for i, s := range c.Bytes {
			tensor.SetString(i, s)
		}
		return tensor, nil
	}
	if err := c.Write(tensor.Bytes(), t.Type); err != nil {
		tensor.Close()
		return nil, err
	}
	return tensor, nil
}

func closeAll(tensors []*Tensor) {
	for _, t := range tensors {
		t.Close()
	}
}
