// SPDX-License-Identifier: Apache-2.0
// Keeps a mistake in one view from taking the page with it.

import { Component, type ComponentChildren } from "preact";

interface Props {
  /** Of what is shown; another one is tried anew. */
  name: string;
  children: ComponentChildren;
}

export class Guard extends Component<Props, { problem: string }> {
  state = { problem: "" };

  static getDerivedStateFromError(e: unknown) {
    return { problem: e instanceof Error ? e.message : String(e) };
  }
  componentDidCatch(e: unknown) {
    console.error(e); // for who mends it
  }
  componentDidUpdate(old: Props) {
    if (old.name !== this.props.name && this.state.problem) this.setState({ problem: "" });
  }
  render() {
    if (!this.state.problem) return this.props.children;
    return (
      <div class="note" role="alert">
        <h2>This view has failed</h2>
        <p>{this.state.problem}</p>
        <p>The others work: choose another tab, or try again.</p>
        <button type="button" onClick={() => this.setState({ problem: "" })}>
          Try again
        </button>
      </div>
    );
  }
}
