// SPDX-License-Identifier: Apache-2.0

package release

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestListsNameEveryModule(t *testing.T) {
	dir := built(t)
	text, err := os.ReadFile(filepath.Join(dir, "NodeEngine_"+thisArch(t).Name+".cdx.json"))
	require.NoError(t, err)
	var list bom
	require.NoError(t, json.Unmarshal(text, &list))
	require.Equal(t, "CycloneDX", list.Format)
	require.Regexp(t, `^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, list.Serial)
	require.Equal(t, "2023-11-14T22:13:20Z", list.Metadata.Timestamp)

	program := filepath.Join(unpacked(t, "NodeEngine"), "NodeEngine")
	sum, err := sumOf(program)
	require.NoError(t, err)
	refs := map[string]component{}
	for _, c := range list.Components {
		require.NotContains(t, refs, c.Ref)
		refs[c.Ref] = c
	}
	require.Equal(t, []hash{{"SHA-256", hex.EncodeToString(sum)}}, refs["program:NodeEngine"].Hashes)
	require.Equal(t, []string{"program:NodeEngine"}, list.Dependencies[0].DependsOn)
	// What Go itself says of the program.
	said := 0
	for line := range strings.Lines(command(t, dir, "go", "version", "-m", program)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "dep" {
			continue
		}
		said++
		c, ok := refs["pkg:golang/"+strings.ToLower(f[1])+"@"+strings.ReplaceAll(f[2], "+", "%2B")]
		require.True(t, ok, line)
		require.Equal(t, f[1], c.Name)
		require.Contains(t, list.Dependencies[1].DependsOn, c.Ref)
	}
	require.Greater(t, said, 10)
	require.Len(t, list.Components, said+2, "besides the program and Go's own library")
}
