// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"context"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// argoHealth is the health of a resource, as Argo CD has it.
type argoHealth struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// argoHealthOf returns what Argo CD says of an object: it does not ask the script about one that is being deleted.
func argoHealthOf(object *unstructured.Unstructured, script string) (argoHealth, error) {
	if object.GetDeletionTimestamp() != nil {
		return argoHealth{Status: "Progressing", Message: "Pending deletion"}, nil
	}
	return runHealthScript(object, script)
}

// runHealthScript runs a script with the object in the variable obj, as Argo CD does without useOpenLibs: with the
// base library and table, of which the others of Argo CD are not needed, within a second.
func runHealthScript(object *unstructured.Unstructured, script string) (argoHealth, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			return argoHealth{}, fmt.Errorf("open the library %q: %w", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("obj", luaValue(state, object.Object))
	if err := state.DoString(script); err != nil {
		return argoHealth{}, fmt.Errorf("run the health script: %w", err)
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return argoHealth{}, fmt.Errorf("the health script returned a %s, want a table", state.Get(-1).Type())
	}
	return argoHealth{
		Status:  lua.LVAsString(table.RawGetString("status")),
		Message: lua.LVAsString(table.RawGetString("message")),
	}, nil
}

// luaValue is a value of a decoded object in Lua.
func luaValue(state *lua.LState, value any) lua.LValue {
	switch v := value.(type) {
	case bool:
		return lua.LBool(v)
	case string:
		return lua.LString(v)
	case int64:
		return lua.LNumber(v)
	case float64:
		return lua.LNumber(v)
	case []any:
		list := state.CreateTable(len(v), 0)
		for _, item := range v {
			list.Append(luaValue(state, item))
		}
		return list
	case map[string]any:
		table := state.CreateTable(0, len(v))
		for key, item := range v {
			table.RawSetString(key, luaValue(state, item))
		}
		return table
	default:
		return lua.LNil
	}
}
