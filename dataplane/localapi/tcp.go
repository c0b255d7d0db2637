// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// tokenBytes of randomness make a token.
const tokenBytes = 32

// ListenTCP listens on a port of loopback.
func ListenTCP(port uint16) (net.Listener, error) {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		return nil, fmt.Errorf("listen for the local API: %w", err)
	}
	return l, nil
}

// NewToken draws a token and writes it to path, readable by its owner alone.
func NewToken(path string) (string, error) {
	var b [tokenBytes]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program if the system has no randomness
	token := hex.EncodeToString(b[:])
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("make the folder of the local API's token: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("replace the local API's token: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("write the local API's token: %w", err)
	}
	_, err = f.WriteString(token + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("write the local API's token: %w", err)
	}
	return token, nil
}

// ServeTCP serves h on l until ctx ends, to those who send the token as `Authorization: Bearer`. /healthz needs none.
func ServeTCP(ctx context.Context, l net.Listener, h http.Handler, token string, log *slog.Logger) error {
	refusal := &handler{log: log}
	return serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if r.URL.Path != "/healthz" && (!ok || subtle.ConstantTimeCompare([]byte(given), []byte(token)) != 1) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			refusal.refuse(w, http.StatusUnauthorized, errors.New("this API wants the token that NetManager wrote at start, as Authorization: Bearer"))
			return
		}
		h.ServeHTTP(w, r)
	}), nil)
}
