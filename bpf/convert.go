// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"

	"github.com/cilium/ebpf/btf"
)

// conversion brings values of one layout into another, by the names of their fields.
type conversion struct {
	steps []moved
	size  uint32
	same  bool // nothing has moved, none has come and none has gone
}

// moved says to copy n bytes.
type moved struct{ from, to, n uint32 }

// convert finds out how values of one type become values of another. Fields that are new are zero, and those that are gone are left
// out, unless whole: then there may be none of either, as in a key. A number may have grown, not shrunk.
func convert(from, to btf.Type, whole bool) (conversion, error) {
	var c conversion
	oldSize, err := btf.Sizeof(from)
	if err != nil {
		return c, fmt.Errorf("measure the old layout: %w", err)
	}
	newSize, err := btf.Sizeof(to)
	if err != nil {
		return c, fmt.Errorf("measure the new layout: %w", err)
	}
	c.size = uint32(newSize)
	if err := c.add(from, to, 0, 0, whole); err != nil {
		return c, err
	}
	c.same = oldSize == newSize
	for _, s := range c.steps {
		c.same = c.same && s.from == s.to
	}
	return c, nil
}

func (c *conversion) add(from, to btf.Type, at, into uint32, whole bool) error {
	from, to = btf.UnderlyingType(from), btf.UnderlyingType(to)
	switch t := to.(type) {
	case *btf.Struct:
		f, ok := from.(*btf.Struct)
		if !ok {
			return fmt.Errorf("%v has become %v", from, to)
		}
		return c.addFields(f, t, at, into, whole)
	case *btf.Array:
		f, ok := from.(*btf.Array)
		if !ok || f.Nelems != t.Nelems {
			return fmt.Errorf("%v has become %v", from, to)
		}
		old, err := btf.Sizeof(f.Type)
		if err != nil {
			return err
		}
		grown, err := btf.Sizeof(t.Type)
		if err != nil {
			return err
		}
		for i := range t.Nelems {
			if err := c.add(f.Type, t.Type, at+i*uint32(old), into+i*uint32(grown), whole); err != nil {
				return err
			}
		}
		return nil
	case *btf.Int, *btf.Enum:
		switch from.(type) {
		case *btf.Int, *btf.Enum:
		default:
			return fmt.Errorf("%v has become %v", from, to)
		}
	default:
		return fmt.Errorf("%v cannot be converted", to)
	}
	old, err := btf.Sizeof(from)
	if err != nil {
		return err
	}
	grown, err := btf.Sizeof(to)
	if err != nil {
		return err
	}
	if grown < old || whole && grown != old {
		return fmt.Errorf("%v of %d bytes has become %v of %d", from, old, to, grown)
	}
	c.steps = append(c.steps, moved{at, into, uint32(old)}) // the low bytes come first: programs are compiled for little endian
	return nil
}

func (c *conversion) addFields(from, to *btf.Struct, at, into uint32, whole bool) error {
	old := make(map[string]btf.Member, len(from.Members))
	for _, m := range from.Members {
		old[m.Name] = m
	}
	for _, m := range to.Members {
		was, ok := old[m.Name]
		if !ok {
			if whole {
				return fmt.Errorf("field %s of %s is new", m.Name, to.Name)
			}
			continue
		}
		delete(old, m.Name)
		if err := c.add(was.Type, m.Type, at+was.Offset.Bytes(), into+m.Offset.Bytes(), whole); err != nil {
			return fmt.Errorf("field %s: %w", m.Name, err)
		}
	}
	if whole && len(old) > 0 {
		return fmt.Errorf("%s has lost %d fields", to.Name, len(old))
	}
	return nil
}

// apply converts one value.
func (c conversion) apply(from []byte) []byte {
	to := make([]byte, c.size)
	for _, s := range c.steps {
		copy(to[s.to:s.to+s.n], from[s.from:])
	}
	return to
}

// offset returns where a field lies, by its path from the outermost structure; -1 if there is none.
func offset(t btf.Type, path ...string) int {
	at := 0
fields:
	for _, name := range path {
		s, ok := btf.UnderlyingType(t).(*btf.Struct)
		if !ok {
			return -1
		}
		for _, m := range s.Members {
			if m.Name == name {
				at += int(m.Offset.Bytes())
				t = m.Type
				continue fields
			}
		}
		return -1
	}
	return at
}
