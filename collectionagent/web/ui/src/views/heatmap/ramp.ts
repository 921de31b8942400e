// SPDX-License-Identifier: Apache-2.0
// Colours of amounts. The lightness grows (on a dark page) or falls (on a light one) by the same step
// everywhere, so that equal differences look equal, also to who sees no hues and in print.

export type RGB = [number, number, number];

/** A colour of the OKLCH space as bytes of sRGB; what sRGB lacks is cut off. */
export function oklch(lightness: number, chroma: number, hue: number): RGB {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const byte = (linear: number) => {
    const v = linear <= 0.0031308 ? 12.92 * linear : 1.055 * Math.max(linear, 0) ** (1 / 2.4) - 0.055;
    return Math.round(255 * Math.min(Math.max(v, 0), 1));
  };
  return [
    byte(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    byte(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    byte(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

/** The colour of a share of the most, above 0 and up to 1: from blue to yellow on dark, from pale yellow to dark blue on light. */
export function heat(share: number, dark: boolean): RGB {
  const t = Math.min(Math.max(share, 0), 1);
  return dark ? oklch(0.34 + 0.56 * t, 0.09 + 0.06 * t, 275 - 175 * t) : oklch(0.9 - 0.58 * t, 0.1 + 0.03 * t, 100 + 175 * t);
}

/** As many colours, from the least to the most. */
export const ramp = (n: number, dark: boolean): RGB[] => Array.from({ length: n }, (_, i) => heat((i + 1) / n, dark));

export const css = ([r, g, b]: RGB) => `rgb(${r} ${g} ${b})`;
