// SPDX-License-Identifier: Apache-2.0
// Spans of distributed traces that were in a function, asked for when somebody wants them.

import { useEffect, useState } from "preact/hooks";
import * as api from "../../api/client";
import { quote } from "../../model/selector";
import { amount, dateTime } from "../../ui/format";
import { Copy } from "./copy";

const limit = 10;

interface Props {
  name: string;
  params: api.Params;
}

export function Spans({ name, params }: Props) {
  const [asked, setAsked] = useState(false);
  const [answer, setAnswer] = useState<api.ExemplarsAnswer | null>(null);
  const [problem, setProblem] = useState("");
  const question = JSON.stringify([name, params]);
  // For another function or another range the answer is no answer.
  useEffect(() => {
    setAsked(false);
    setAnswer(null);
    setProblem("");
  }, [question]);
  useEffect(() => {
    if (!asked) return;
    const stop = new AbortController();
    api.exemplars({ ...params, frames: `{function=${quote(name)}}`, limit: String(limit) }, stop.signal).then(setAnswer, (e) => {
      if (!stop.signal.aborted) setProblem(e.message);
    });
    return () => stop.abort();
  }, [asked]);

  if (!asked) {
    return (
      <button type="button" onClick={() => setAsked(true)}>
        Show spans in this function
      </button>
    );
  }
  if (problem) {
    return (
      <p class="problem" role="alert">
        The spans cannot be shown: {problem}
      </p>
    );
  }
  if (!answer) return <p class="faded">Asking …</p>;
  const spans = answer.exemplars ?? [];
  if (!spans.length) return <p class="faded">No sample of this function belongs to a span. Programs say which span they are in when they are instrumented for it.</p>;
  return (
    <ul class="fn-spans">
      {spans.map((s) => (
        <li key={`${s.span_id}${s.time_ms}`}>
          <div>
            <b>{amount(s.value, answer.unit)}</b> <span class="faded">{dateTime(s.time_ms)}</span>
          </div>
          <div class="fn-id">
            trace <code>{s.trace_id}</code> <Copy text={s.trace_id} what="trace ID" />
          </div>
          <div class="fn-id">
            span <code>{s.span_id}</code> <Copy text={s.span_id} what="span ID" />
          </div>
          <div class="faded fn-labels">
            {["service", "host", "process", "comm", "pid"]
              .filter((l) => s.labels[l])
              .map((l) => `${l}=${s.labels[l]}`)
              .join(" ")}
          </div>
        </li>
      ))}
      {answer.hidden > 0 && <li class="faded">and {answer.hidden} more</li>}
    </ul>
  );
}
