// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sigs.k8s.io/json"
)

// maxBodyBytes is far above any request that is documented.
const maxBodyBytes = 1 << 20

// read reads a request. What it has beyond the documents is the problem.
func read(w http.ResponseWriter, r *http.Request, e *endpoint) (c *call, problem string) {
	c = &call{endpoint: e, id: r.PathValue("id")}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if err != nil {
		return c, "a body of over 1 MiB, or one that breaks off"
	}
	c.body = body
	if problem = headerProblem(r.Header, e); problem != "" {
		return c, problem
	}
	if e.content == "" && len(body) > 0 {
		return c, "a body of " + r.Method
	}
	c.query, problem = parse(r.URL.RawQuery, e.queries)
	return c, problem
}

// headerProblem says what the headers have beyond the documents, and what is missing or wrong in the documented ones.
// What every HTTP client sends is not meant.
func headerProblem(header http.Header, e *endpoint) string {
	for name, values := range header {
		switch name {
		case "Accept", "Accept-Encoding", "Connection", "User-Agent", "Content-Length":
			continue
		case "Content-Type":
			if e.content != "" {
				continue
			}
			// Documented: the pages show a Content-Type with GET, too.
			if values[0] == contentJSON {
				continue
			}
		case "App_key", "Authorization":
			if !e.open && len(values) == 1 {
				continue
			}
		}
		return fmt.Sprintf("the header %s: %d of them", name, len(values))
	}
	if e.content == "" {
		return ""
	}
	given, parameters, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || given != e.content {
		return fmt.Sprintf("the Content-Type %q, not %s", header.Get("Content-Type"), e.content)
	}
	if charset, ok := parameters["charset"]; ok && !strings.EqualFold(charset, "utf-8") || len(parameters) > 1 {
		return "a Content-Type of another charset than UTF-8"
	}
	return ""
}

// parse reads the parameters of a query or a form: each of them known, and there once. An empty one is as none.
func parse(raw string, known []string) (values url.Values, problem string) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, "parameters that can't be parsed"
	}
	for name, given := range values {
		if !slices.Contains(known, name) {
			return nil, "the parameter " + name
		}
		if len(given) > 1 {
			return nil, "the parameter " + name + " more than once"
		}
		if len(given[0]) > maxIDBytes && name != "callbackUrl" {
			return nil, "over 256 bytes in the parameter " + name
		}
		if given[0] == "" {
			values.Del(name)
		}
	}
	return values, ""
}

// decode reads the JSON of a body: known keys in their case, each once, and nothing after it.
func (c *call) decode(into any) (problem string) {
	strict, err := json.UnmarshalStrict(c.body, into)
	if err != nil {
		return "a body that can't be read: " + err.Error()
	}
	if len(strict) > 0 {
		return strict[0].Error()
	}
	return ""
}
