// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// Migration copies what pinned maps of another layout hold into those of this build. Layouts are compared field by field, by the names
// in the type information that the kernel keeps with each map.
//
// What is kept by processor stays behind: counters start anew, and flows that were about to be pushed out by others are left to the
// sweep.
type Migration struct {
	pairs []pair
}

// pair is one map of both layouts.
type pair struct {
	name       string
	from, to   *ebpf.Map
	key, value conversion
	flow       flowFields
}

// NewMigration opens the maps that are pinned in dir. It refuses layouts that cannot be converted without copying anything.
func NewMigration(dir string, to *Maps) (*Migration, error) {
	spec, err := loadMaps()
	if err != nil {
		return nil, fmt.Errorf("read object maps: %w", err)
	}
	m := &Migration{}
	err = to.each(func(name string, at **ebpf.Map) error {
		switch (*at).Type() {
		case ebpf.Hash, ebpf.Array, ebpf.LRUHash:
		default:
			return nil
		}
		from, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
		if errors.Is(err, os.ErrNotExist) {
			return nil // there was none
		}
		if err != nil {
			return fmt.Errorf("open map %s of the former layout: %w", name, err)
		}
		p := pair{name: name, from: from, to: *at}
		m.pairs = append(m.pairs, p)
		if err := m.pairs[len(m.pairs)-1].compare(spec.Maps[name]); err != nil {
			return fmt.Errorf("convert map %s from the former layout: %w", name, err)
		}
		return nil
	})
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// Close closes the former maps.
func (m *Migration) Close() {
	for _, p := range m.pairs {
		_ = p.from.Close()
	}
}

func (p *pair) compare(now *ebpf.MapSpec) error {
	handle, err := p.from.Handle()
	if err != nil {
		return fmt.Errorf("read its type information: %w", err)
	}
	defer handle.Close()
	types, err := handle.Spec(nil)
	if err != nil {
		return fmt.Errorf("read its type information: %w", err)
	}
	if p.key, err = between(types, p.from.KeySize(), now.Key, true); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	if p.value, err = between(types, p.from.ValueSize(), now.Value, false); err != nil {
		return fmt.Errorf("value: %w", err)
	}
	p.flow = fieldsOf(now.Value)
	return nil
}

// between finds the former layout of a type by its name; numbers have none that tells.
func between(types *btf.Spec, size uint32, now btf.Type, whole bool) (conversion, error) {
	s, ok := btf.UnderlyingType(now).(*btf.Struct)
	if !ok {
		n, err := btf.Sizeof(now)
		if err == nil && uint32(n) != size {
			err = fmt.Errorf("%d bytes have become %d", size, n)
		}
		return conversion{steps: []moved{{n: size}}, size: size, same: true}, err
	}
	var was *btf.Struct
	if err := types.TypeByName(s.Name, &was); err != nil {
		return conversion{}, fmt.Errorf("find %s: %w", s.Name, err)
	}
	return convert(was, s, whole)
}

// Copy copies everything but flows that the new maps know better.
func (m *Migration) Copy() error {
	for _, p := range m.pairs {
		f := p.join
		if !p.flow.is {
			f = func(key, value []byte) error { return p.to.Put(key, value) }
		}
		if err := p.each(f); err != nil {
			return fmt.Errorf("copy map %s from the former layout: %w", p.name, err)
		}
	}
	return nil
}

// CatchUp copies what has changed in the flows since, although programs may have used both the former maps and the new ones.
func (m *Migration) CatchUp() error {
	for _, p := range m.pairs {
		if !p.flow.is {
			continue
		}
		if err := p.each(p.join); err != nil {
			return fmt.Errorf("copy what has changed in map %s of the former layout: %w", p.name, err)
		}
	}
	return nil
}

// join brings a former entry together with the new one, if there is any.
func (p pair) join(key, value []byte) error {
	has, err := p.to.LookupBytes(key)
	if err != nil {
		return err
	}
	if has == nil {
		err := p.to.Update(key, value, ebpf.UpdateNoExist)
		if errors.Is(err, ebpf.ErrKeyExist) {
			return nil // opened by the new programs just now
		}
		return err
	}
	joined := p.flow.join(value, has)
	if bytes.Equal(joined, has) {
		return nil
	}
	return p.to.Put(key, joined)
}

// each calls f with every entry of the former map, in the new layout. Empty places of arrays are left out.
func (p pair) each(f func(key, value []byte) error) error {
	count := min(batchEntries, int(p.from.MaxEntries()))
	keys, values := byteArrays(count, p.from.KeySize()), byteArrays(count, p.from.ValueSize())
	array := p.from.Type() == ebpf.Array
	var cursor ebpf.MapBatchCursor
	for {
		n, err := p.from.BatchLookup(&cursor, keys.Interface(), values.Interface(), nil)
		for i := range n {
			key, value := keys.Index(i).Bytes(), values.Index(i).Bytes()
			if array && (allZero(value) || binary.LittleEndian.Uint32(key) >= p.to.MaxEntries()) {
				continue
			}
			if err := f(p.key.apply(key), p.value.apply(value)); err != nil {
				return err
			}
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// byteArrays makes a slice of arrays, as which the library takes what it does not know the type of.
func byteArrays(count int, size uint32) reflect.Value {
	array := reflect.ArrayOf(int(size), reflect.TypeFor[byte]())
	return reflect.MakeSlice(reflect.SliceOf(array), count, count)
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
