// SPDX-License-Identifier: Apache-2.0

package kernels

import (
	"errors"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestModuleNames(t *testing.T) {
	for file, want := range map[string]string{
		"lib/modules/6.1/kernel/drivers/net/veth.ko":             "veth",
		"kernel/net/netfilter/nft_masq.ko.xz":                    "nft_masq",
		"kernel/arch/x86/crypto/crc32c-intel.ko":                 "crc32c_intel",
		"kernel/net/sched/sch_ingress.ko.zst":                    "sch_ingress",
		"already_a_name":                                         "already_a_name",
		"kernel/drivers/net/ethernet/marvell/octeontx2/a-b-c.ko": "a_b_c",
	} {
		require.Equal(t, want, moduleName(file))
	}
}

func TestParseModinfo(t *testing.T) {
	for info, want := range map[string][]string{
		"":                              nil,
		"license=GPL\x00depends=\x00":   nil,
		"depends=udp_tunnel":            {"udp_tunnel"},
		"a=b\x00depends=x,y-z\x00name=": {"x", "y_z"},
		"mydepends=x\x00":               nil,
	} {
		require.Equal(t, want, parseModinfo([]byte(info)), "%q", info)
	}
}

func TestModuleDependsRefusesWhatIsNoModule(t *testing.T) {
	_, err := moduleDepends("veth", []byte("not an ELF file"))
	require.ErrorContains(t, err, "read module veth")
}

func TestLoadOrderRefusesACircle(t *testing.T) {
	all := func(string) bool { return true }
	_, err := loadOrder([]string{"a"}, all, func(name string) ([]string, error) {
		return map[string][]string{"a": {"b"}, "b": {"a"}}[name], nil
	})
	require.ErrorContains(t, err, "needs itself")
	broken := errors.New("broken")
	_, err = loadOrder([]string{"a"}, all, func(string) ([]string, error) { return nil, broken })
	require.ErrorIs(t, err, broken)
}

// TestLoadOrder: every module comes once, after all that it needs; what is built in is left out.
func TestLoadOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 12
		needs := map[string][]string{}
		builtin := map[string]bool{}
		for i := range n {
			name := strconv.Itoa(i)
			for range rapid.IntRange(0, 3).Draw(t, "needs") {
				if i > 0 { // only on lower numbers, so that there is no circle
					needs[name] = append(needs[name], strconv.Itoa(rapid.IntRange(0, i-1).Draw(t, "need")))
				}
			}
			builtin[name] = rapid.Bool().Draw(t, "builtin")
		}
		wanted := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, n-1), strconv.Itoa), 0, 5).Draw(t, "wanted")
		order, err := loadOrder(wanted, func(name string) bool { return !builtin[name] },
			func(name string) ([]string, error) { return needs[name], nil })
		require.NoError(t, err)
		for i, name := range order {
			require.False(t, builtin[name])
			require.NotContains(t, order[:i], name)
			for _, need := range needs[name] {
				require.True(t, builtin[need] || slices.Contains(order[:i], need), "%s before its need %s", name, need)
			}
		}
		for _, name := range wanted {
			require.True(t, builtin[name] || slices.Contains(order, name))
		}
	})
}
