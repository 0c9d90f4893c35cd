// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	storage "fwupgrade.io/operator/api/storage/v1alpha1"

	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestCreationOutcomes holds what every answer to a creation tells of the task. The POST is sent once, whatever comes.
func TestCreationOutcomes(t *testing.T) {
	created := func(id string) http.HandlerFunc { return always(200, fmt.Sprintf(`{"operationId":%q}`, id)) }
	coded := func(status int, code string) http.HandlerFunc {
		return always(status, fmt.Sprintf(`{"error_code":%q,"error_desc":"why"}`, code))
	}
	raw := func(answer string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { hijack(w, answer) }
	}
	const (
		head     = "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n"
		chunked  = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		success  = `{"operationId":"op-1"}`
		success1 = "HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n" + success
	)
	long := strings.Repeat("x", storage.MaxIDBytes)
	cases := map[string]struct {
		answer http.HandlerFunc
		want   CreationOutcome
		id     string
	}{
		"200":                    {created("op-1"), "", "op-1"},
		"201":                    {always(201, success), "", "op-1"},
		"200 with more":          {always(200, `{"x":[{}],"operationId":"op-1","y":null}`+"\r\n"), "", "op-1"},
		"200 with a number":      {always(200, `{"operationId":12}`), "", "12"},
		"200 with a long id":     {created(long), "", long},
		"200 with blanks within": {created("a b/c"), "", "a b/c"},
		"200 after 100 and 103": {
			raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + success1), "", "op-1",
		},

		"200 with nothing":           {always(200, ""), CreationUnknown, ""},
		"200 with HTML":              {always(200, "<html>"+success+"</html>"), CreationUnknown, ""},
		"200 with another type":      {always(200, `["op-1"]`), CreationUnknown, ""},
		"200 without an id":          {always(200, `{}`), CreationUnknown, ""},
		"200 with null":              {always(200, `{"operationId":null}`), CreationUnknown, ""},
		"200 with an empty id":       {created(""), CreationUnknown, ""},
		"200 with an object":         {always(200, `{"operationId":{"x":1}}`), CreationUnknown, ""},
		"200 with a truth":           {always(200, `{"operationId":true}`), CreationUnknown, ""},
		"200 with a too long id":     {created(long + "x"), CreationUnknown, ""},
		"200 with a path":            {created(".."), CreationUnknown, ""},
		"200 with a control sign":    {always(200, `{"operationId":"op\u0007"}`), CreationUnknown, ""},
		"200 with a broken id":       {always(200, "{\"operationId\":\"op\xff\"}"), CreationUnknown, ""},
		"200 with a blank behind":    {created("op-1 "), CreationUnknown, ""},
		"200 with a secret":          {always(200, `{"operationId":"token-1-of-the-platform"}`), CreationUnknown, ""},
		"200 with an error code":     {coded(200, "123016"), CreationUnknown, ""},
		"200 with two answers":       {always(200, success+success), CreationUnknown, ""},
		"200 and too much":           {always(200, success+strings.Repeat(" ", maxAnswerBytes)), CreationUnknown, ""},
		"200 and gzip":               {zipped(200, success), CreationUnknown, ""},
		"202":                        {always(202, success), CreationUnknown, ""},
		"203":                        {always(203, success), CreationUnknown, ""},
		"204":                        {always(204, ""), CreationUnknown, ""},
		"206":                        {always(206, success), CreationUnknown, ""},
		"101":                        {raw("HTTP/1.1 101 x\r\nConnection: upgrade\r\n\r\n"), CreationUnknown, ""},
		"many 1xx":                   {raw(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 9)), CreationUnknown, ""},
		"1xx, and cut":               {raw("HTTP/1.1 100 Continue\r\n\r\n"), CreationUnknown, ""},
		"301":                        {redirect(301), CreationUnknown, ""},
		"302":                        {redirect(302), CreationUnknown, ""},
		"303":                        {redirect(303), CreationUnknown, ""},
		"304":                        {always(304, ""), CreationUnknown, ""},
		"307":                        {redirect(307), CreationUnknown, ""},
		"308":                        {redirect(308), CreationUnknown, ""},
		"a status of 999":            {raw("HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n"), CreationUnknown, ""},
		"400 120015":                 {coded(400, "120015"), CreationRefused, ""},
		"400 123016":                 {coded(400, "123016"), CreationRefused, ""},
		"400 123019":                 {coded(400, "123019"), CreationRefused, ""},
		"400 123033":                 {coded(400, "123033"), CreationRefused, ""},
		"400 with a number":          {always(400, `{"error_code":123016}`), CreationRefused, ""},
		"400 100022":                 {coded(400, "100022"), CreationUnknown, ""},
		"400 1230160":                {coded(400, "1230160"), CreationUnknown, ""},
		"400 12301":                  {coded(400, "12301"), CreationUnknown, ""},
		"400 12301x":                 {coded(400, "12301x"), CreationUnknown, ""},
		"400 121016":                 {coded(400, "121016"), CreationUnknown, ""},
		"400 1230.1":                 {always(400, `{"error_code":1230.1}`), CreationUnknown, ""},
		"400 with a code and blanks": {coded(400, " 123016"), CreationUnknown, ""},
		"400 1010005":                {coded(400, "1010005"), CreationUnknown, ""},
		"400 1010009":                {coded(400, "1010009"), CreationUnknown, ""},
		"400 100203":                 {coded(400, "100203"), CreationUnknown, ""},
		"400 without a code":         {always(400, `{"error_desc":"123016"}`), CreationUnknown, ""},
		"400 with HTML":              {always(400, "<html>123016</html>"), CreationUnknown, ""},
		"400 and gzip":               {zipped(400, `{"error_code":"123016"}`), CreationUnknown, ""},
		"400 and too much": {
			always(400, `{"error_code":"123016"}`+strings.Repeat(" ", maxAnswerBytes)), CreationUnknown, "",
		},
		"400, cut": {
			raw("HTTP/1.1 400 Bad Request\r\nContent-Length: 99\r\n\r\n" + `{"error_code":"123016"}`), CreationUnknown, "",
		},
		"401":                {always(401, ""), CreationTokenRefused, ""},
		"401 with HTML":      {always(401, "<html>"), CreationTokenRefused, ""},
		"401 100208":         {coded(401, "100208"), CreationTokenRefused, ""},
		"401, cut":           {raw("HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\nx"), CreationUnknown, ""},
		"403 1010005":        {coded(403, "1010005"), CreationTokenRefused, ""},
		"403 1010009":        {coded(403, "1010009"), CreationThrottled, ""},
		"403 100203":         {coded(403, "100203"), CreationThrottled, ""},
		"403 without a code": {always(403, ""), CreationUnknown, ""},
		"403 100022":         {coded(403, "100022"), CreationUnknown, ""},
		"403 123016":         {coded(403, "123016"), CreationUnknown, ""},
		"404":                {always(404, ""), CreationUnknown, ""},
		"404 123009":         {coded(404, "123009"), CreationUnknown, ""},
		"404 1010005":        {coded(404, "1010005"), CreationUnknown, ""},
		"405":                {always(405, ""), CreationUnknown, ""},
		"407":                {always(407, ""), CreationUnknown, ""},
		"408":                {always(408, ""), CreationUnknown, ""},
		"409":                {always(409, ""), CreationUnknown, ""},
		"409 100227":         {coded(409, "100227"), CreationUnknown, ""},
		"413":                {always(413, ""), CreationUnknown, ""},
		"422 123016":         {coded(422, "123016"), CreationUnknown, ""},
		"429":                {always(429, ""), CreationThrottled, ""},
		"429 with HTML":      {always(429, "<html>"), CreationThrottled, ""},
		"500":                {always(500, ""), CreationUnknown, ""},
		"500 50252":          {coded(500, "50252"), CreationUnknown, ""},
		"500 123016":         {coded(500, "123016"), CreationUnknown, ""},
		"500 1010005":        {coded(500, "1010005"), CreationUnknown, ""},
		"500 with an id":     {always(500, success), CreationUnknown, ""},
		"501":                {always(501, ""), CreationUnknown, ""},
		"502":                {always(502, "<html>"), CreationUnknown, ""},
		"503":                {always(503, ""), CreationUnknown, ""},
		"503 1010009":        {coded(503, "1010009"), CreationUnknown, ""},
		"504":                {always(504, ""), CreationUnknown, ""},

		"cut before the head":  {raw(""), CreationUnknown, ""},
		"cut in the head":      {raw(head), CreationUnknown, ""},
		"cut after the head":   {raw(head + "\r\n"), CreationUnknown, ""},
		"cut in the body":      {raw(head + "\r\n" + success), CreationUnknown, ""},
		"cut in a chunk":       {raw(chunked + "16\r\n" + success + "\r\n"), CreationUnknown, ""},
		"no HTTP":              {raw("SSH-2.0-x\r\n\r\n"), CreationUnknown, ""},
		"a head without end":   {raw(head + "X: " + strings.Repeat("x", 2*maxHeaderBytes)), CreationUnknown, ""},
		"two lengths":          {raw(head + "Content-Length: 22\r\n\r\n" + success), CreationUnknown, ""},
		"the answer of before": {raw("HTTP/1.0 200 OK\r\n\r\n" + success), "", "op-1"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t)
			p.set(nil, tc.answer)
			c := connect(t, p)
			id, err := c.create()
			if got := Creation(err); got != tc.want || id != tc.id || (err == nil) != (tc.want == "") {
				t.Errorf("got %q, %v: %q, want %q and %q", id, err, got, tc.want, tc.id)
			}
			if got := p.count(createPath); got != 1 {
				t.Errorf("sent %d times", got)
			}
		})
	}
}

// zipped answers what nobody asked for in gzip.
func zipped(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(text))
		_ = z.Close()
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(status)
		_, _ = w.Write(b.Bytes())
	}
}

func redirect(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/else", status) }
}

// TestCreationWithoutOutcome holds that what the package knows nothing of tells nothing.
func TestCreationWithoutOutcome(t *testing.T) {
	p := startPlatform(t)
	p.set(nil, always(400, `{"error_code":"123016"}`))
	c := connect(t, p)
	for name, err := range map[string]error{
		"an error":        errors.New("what"),
		"a context's":     context.Canceled,
		"another call's":  c.list(),
		"a made-up error": &Error{Kind: Refused, Call: CallCreateTask, HTTPStatus: 400, Code: "123016"},
	} {
		if got := Creation(err); got != CreationUnknown {
			t.Errorf("%s: %s", name, got)
		}
	}
	_, err := c.create()
	if got := Creation(fmt.Errorf("more: %w", err)); got != CreationRefused {
		t.Errorf("wrapped: %s", got)
	}
	if got := Creation(nil); got != "" {
		t.Errorf("success: %s", got)
	}
}
