// SPDX-License-Identifier: Apache-2.0

package device

import (
	"fmt"

	"github.com/safchain/ethtool"
)

// UDPSegmentation is the offload that [DisableUDPSegmentation] turns off, by the kernel's name of it.
const UDPSegmentation = "tx-udp-segmentation"

// DisableUDPSegmentation has the kernel cut UDP super-packets before they leave by the device. Kernels without the helper flag
// BPF_F_ADJ_ROOM_DECAP_L4_UDP lose them whole after they were decapsulated, without a counter moving.
func DisableUDPSegmentation(name string) error {
	e, err := ethtool.NewEthtool()
	if err != nil {
		return fmt.Errorf("open ethtool: %w", err)
	}
	defer e.Close()
	features, err := e.Features(name)
	if err != nil {
		return fmt.Errorf("read the features of %s: %w", name, err)
	}
	if !features[UDPSegmentation] {
		return nil
	}
	if err := e.Change(name, map[string]bool{UDPSegmentation: false}); err != nil {
		return fmt.Errorf("turn %s of %s off: %w", UDPSegmentation, name, err)
	}
	return nil
}
