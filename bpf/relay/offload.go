// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/safchain/ethtool"
)

// SetOffloads turns what the named interface leaves to its card off and returns it, or on again what an earlier call has returned.
//
// Frames that reach a path have to be plain: no larger than the MTU, and with their checksums filled in. A veth pair hands over
// what its sender would leave to a card, so the sender's end is the one to be told, in the network namespace that it is in.
func SetOffloads(name string, on bool, features ...string) ([]string, error) {
	e, err := ethtool.NewEthtool()
	if err != nil {
		return nil, fmt.Errorf("open ethtool: %w", err)
	}
	defer e.Close()
	if !on {
		have, err := e.Features(name)
		if err != nil {
			return nil, fmt.Errorf("read the features of %s: %w", name, err)
		}
		maps.DeleteFunc(have, func(f string, set bool) bool { return !set || !sends(f) })
		features = slices.Sorted(maps.Keys(have))
	}
	if len(features) == 0 {
		return nil, nil
	}
	change := map[string]bool{}
	for _, f := range features {
		change[f] = on
	}
	if err := e.Change(name, change); err != nil {
		return nil, fmt.Errorf("change the offloads of %s: %w", name, err)
	}
	return features, nil
}

// sends reports whether a feature leaves work on frames that go out to the card.
func sends(feature string) bool {
	return strings.HasPrefix(feature, "tx-") && (strings.Contains(feature, "segmentation") || strings.HasPrefix(feature, "tx-checksum"))
}
