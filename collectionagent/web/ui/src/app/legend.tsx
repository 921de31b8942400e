// SPDX-License-Identifier: Apache-2.0
// What the colours mean, and a filter: a click leaves frames of a group out, or brings them back; with
// the shift key they are all that is shown.

import { useMemo } from "preact/hooks";
import { type Colouring, type LegendEntry, legend } from "../model/colour";
import { withField } from "../model/pattern";
import { formatTransform } from "../model/transform";
import { percent } from "../ui/format";
import { MenuButton } from "../ui/menu";
import { toggled } from "../views/menu/actions";
import type { ViewProps } from "../views/view";

/** As many stand in the bar; the others are in a menu. */
const shown = 7;

export function Legend({ profile, state, theme, change, announce, by }: ViewProps & { by: Colouring }) {
  const scale = by === "value" || (by === "diff" && profile.tree.baseTotal !== null);
  const source = scale ? profile.tree : profile.whole; // what is filtered out stays here
  const entries = useMemo(() => legend(source, by, theme.dark), [source, by, theme.dark]);
  if (entries.length === 0) return null;
  const field = by === "binary" || by === "package" ? by : "kind";
  // Frames without a binary are listed by their kind.
  const pattern = (group: string) => (field === "binary" && group.startsWith("[") && entries.length && profile.whole.frames.kind.includes(group.slice(1, -1)) ? withField("kind", group.slice(1, -1)) : withField(field, group));
  const hidden = (e: LegendEntry) => state.t.includes(formatTransform("hide", pattern(e.group)));
  const alone = (e: LegendEntry) => state.t.includes(formatTransform("show", pattern(e.group)));
  const toggle = (e: LegendEntry, only: boolean) => {
    const text = formatTransform(only || alone(e) ? "show" : "hide", pattern(e.group));
    const t = toggled(only ? state.t.filter((x) => !x.startsWith(`show:${field}=`) || x === text) : state.t, text);
    announce(t.includes(text) ? `${e.group} ${only ? "alone" : "hidden"}` : `${e.group} shown again`);
    change({ t });
  };
  const whole = profile.whole.width[0] || 1;
  if (scale) {
    return (
      <div class="stackbar-legend" aria-label="Colours">
        {entries.map((e) => (
          <span key={e.group} class="stackbar-scale">
            <i style={{ background: e.colour }} />
            {e.group}
          </span>
        ))}
      </div>
    );
  }
  return (
    <div class="stackbar-legend" role="group" aria-label="Colours; press to hide, with Shift to show alone">
      {entries.slice(0, shown).map((e) => (
        <button
          key={e.group}
          type="button"
          class={hidden(e) ? "off" : alone(e) ? "on" : ""}
          aria-pressed={!hidden(e)}
          data-group={e.group}
          title={`${e.group}: ${percent(e.self, whole)} own time. Click to ${hidden(e) ? "show again" : "hide, values to the callers"}; Shift+click to show alone.`}
          onClick={(ev) => toggle(e, ev.shiftKey)}
        >
          {/* In a comparison colours tell of change; its view explains them. */}
          {by !== "diff" && <i style={{ background: e.colour }} />}
          <span>{e.group}</span>
        </button>
      ))}
      {entries.length > shown && (
        <MenuButton
          label={`${entries.length - shown} more colours`}
          entries={entries.slice(shown, shown + 200).map((e) => ({ label: e.group, hint: percent(e.self, whole), checked: !hidden(e), run: () => toggle(e, false) }))}
        >
          +{entries.length - shown}
        </MenuButton>
      )}
    </div>
  );
}
