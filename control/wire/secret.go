// SPDX-License-Identifier: Apache-2.0

package wire

// Where a tier asks the one above for the values of secrets, over TLS with its certificate; {id} is its own id. Only those of instances
// that are placed with it are told.
const (
	PathClusterSecrets = "/api/v1/clusters/{id}/secrets"
	PathWorkerSecrets  = "/api/v1/workers/{id}/secrets"
)

// MaxSecretBytes bounds the value of one secret.
const MaxSecretBytes = 64 << 10

// SecretRequest asks for one secret.
type SecretRequest struct {
	Format int `json:"format"`
	// Organization is the id of the organisation whose secret it is.
	Organization string `json:"organization"`
	Name         string `json:"name"`
	Version      int    `json:"version"`
}

// SecretResponse is its value. For registry credentials that is the JSON of [RegistryLogin].
type SecretResponse struct {
	Format int    `json:"format"`
	Value  []byte `json:"value"`
}

// RegistryLogin is what opens a registry.
type RegistryLogin struct {
	// Server is HOST or HOST:PORT of the registry.
	Server   string `json:"server"`
	Username string `json:"username"`
	Password string `json:"password"`
}
