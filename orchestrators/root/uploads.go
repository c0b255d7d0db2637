// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// pathUploads is where the dashboard's form for files leads.
const pathUploads = "/frontend/uploader"

const (
	// maxUpload bounds a file, and maxUploadForm what is around it, in bytes.
	maxUpload     = 1 << 20
	maxUploadForm = 16 << 10
	// maxUploads bounds the files of one user; a further one takes the place of the oldest.
	maxUploads = 50
	// maxFileName bounds a file's name, in bytes.
	maxFileName = 255
)

// uploadSuffixes are those of the files that are taken, as the original takes them.
var uploadSuffixes = []string{".txt", ".json", ".yml", ".yaml"}

// uploadForm is what a request sends, for its description.
type uploadForm struct {
	File multipart.File `formData:"file" description:"a .txt, .json or .yml file of at most 1 MiB"`
}

type uploadedJSON struct {
	// Path is where the file can be read, by whoever has sent it.
	Path string `json:"path"`
}

// uploadJSON is a file that a user has sent.
type uploadJSON struct {
	Path      string    `json:"path"`
	Name      string    `json:"name"`
	Size      int       `json:"size"`
	CreatedAt time.Time `json:"created_at"`
}

// upload keeps one file of a form for a week.
func (r *Root) upload(c echo.Context) error {
	name, content, err := readUpload(c)
	if err != nil {
		return err
	}
	ctx, p, id := c.Request().Context(), principal(c), pki.NewID()
	err = store.InTx(ctx, r.pool, func(tx pgx.Tx) error {
		if err := forgetUploads(ctx, tx, p.ID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO upload (id, account_id, name, content) VALUES ($1, $2, $3, $4)`, id, p.ID, name, content)
		return err
	})
	if err != nil {
		return fmt.Errorf("store file: %w", err)
	}
	return c.JSON(http.StatusOK, uploadedJSON{pathUploads + "/" + id})
}

// forgetUploads removes what is older than a week, and makes room for one more.
func forgetUploads(ctx context.Context, tx pgx.Tx, account string) error {
	_, err := tx.Exec(ctx, `DELETE FROM upload WHERE id IN (SELECT id FROM upload WHERE created_at < now() - interval '7 days' FOR UPDATE SKIP LOCKED)
		OR id IN (SELECT id FROM upload WHERE account_id = $1 ORDER BY created_at DESC, id OFFSET $2)`, account, maxUploads-1)
	return err
}

// readUpload reads the part of a form that is named file.
func readUpload(c echo.Context) (name string, content []byte, err error) {
	refuse := func(code, format string, args ...any) (string, []byte, error) {
		return "", nil, httpapi.NewProblem(http.StatusUnprocessableEntity, code, format, args...)
	}
	kind, _, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	if err != nil || kind != "multipart/form-data" {
		return "", nil, httpapi.NewProblem(http.StatusUnsupportedMediaType, "no_form", "send the file as a part named file of multipart/form-data")
	}
	form, err := c.Request().MultipartReader()
	if err != nil {
		return refuse("broken_form", "the form cannot be read: %v", err)
	}
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return refuse("no_file", "the form has no part named file")
		}
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return "", nil, err
		}
		if err != nil {
			return refuse("broken_form", "the form cannot be read: %v", err)
		}
		if part.FormName() != "file" {
			continue
		}
		name = part.FileName() // without folders
		switch {
		case !slices.Contains(uploadSuffixes, strings.ToLower(path.Ext(name))):
			return refuse("wrong_file", "must be a file that ends in one of %s", strings.Join(uploadSuffixes, ", "))
		case len(name) > maxFileName || !printable(name):
			return refuse("wrong_file", "must have a name of at most %d bytes, all printable", maxFileName)
		}
		content, err = io.ReadAll(part)
		switch {
		case errors.As(err, &tooLarge):
			return "", nil, err
		case err != nil:
			return refuse("broken_form", "the file cannot be read: %v", err)
		case len(content) > maxUpload:
			return "", nil, &http.MaxBytesError{Limit: maxUpload}
		case !utf8.Valid(content):
			return refuse("wrong_file", "is no text")
		}
		return name, content, nil
	}
}

// listUploads lists the user's files, newest first.
func (r *Root) listUploads(c echo.Context) error {
	rows, err := r.pool.Query(c.Request().Context(), `SELECT $2 || '/' || id, name, octet_length(content), created_at FROM upload
		WHERE account_id = $1 ORDER BY created_at DESC, id`, principal(c).ID, pathUploads)
	if err != nil {
		return fmt.Errorf("list files: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[uploadJSON])
	if err != nil {
		return fmt.Errorf("list files: %w", err)
	}
	if list == nil {
		list = []uploadJSON{}
	}
	return c.JSON(http.StatusOK, list)
}

// getUpload answers with a file, to its owner: as text that no browser takes for anything else.
func (r *Root) getUpload(c echo.Context) error {
	id := c.Param("upload")
	var name string
	var content []byte
	err := r.pool.QueryRow(c.Request().Context(), `SELECT name, content FROM upload WHERE id = $1 AND account_id = $2`, id, principal(c).ID).Scan(&name, &content)
	if errors.Is(err, pgx.ErrNoRows) {
		return notFound("file", id)
	}
	if err != nil {
		return fmt.Errorf("read file: %w", err)
	}
	header := c.Response().Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set(echo.HeaderContentDisposition, mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	return c.Blob(http.StatusOK, "text/plain; charset=utf-8", content)
}
