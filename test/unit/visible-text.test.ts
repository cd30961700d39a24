import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MlfsError } from '../../src/errors.ts';
import {
  bounded,
  escapeJson,
  isHidden,
  quoteName,
  visible,
  visibleJson,
  visibleLines,
} from '../../src/visible-text.ts';
import { assertClean } from '../support/clean-text.ts';

/** Any string, with what is hidden as likely as what is not. */
const unit = fc.oneof(
  fc.constantFrom(
    ...Array.from(
      'aé漢😀"\\/ \n\r\t\0\x1b\x07\x7f\u0080\u009b\u00a0\u00ad\u061c\u200b\u200d\u200e\u2028\u202e\u2066\u3000\ufe0f\ufeff\ufffd\ufff9\u{e0041}\u{e0100}\u{1d173}\ue000\u{10ffff}\u0378',
    ),
    '\ud800',
    '\udc00',
  ),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
);
const anyText = fc.string({ unit, maxLength: 60 });
const longText = fc.string({ unit, maxLength: 4000 });

test('what is hidden is named as Python names it', () => {
  assert.equal(visible('a\x1b[31m\n\r\t\0\x7f\u009b'), 'a\\x1b[31m\\n\\r\\t\\x00\\x7f\\x9b');
  assert.equal(visible('\u202egpj \u2066\u200b\u2028'), '\\u202egpj \\u2066\\u200b\\u2028');
  assert.equal(visible('\u{e0041}\ud800\ufffd'), '\\U000e0041\\ud800\\ufffd');
});

test('what has a glyph stays: accents, combining ones too, CJK, right-to-left letters, emoji, boxes', () => {
  for (const text of ['größe', 'gro\u0308ße', '重み 가중치', 'שלום مرحبا', '😀🚀❤', '└─ │', 'a\\b"c']) {
    assert.equal(visible(text), text);
    assert.equal(isHidden(text), false);
  }
});

test('joiners and selectors between emoji are escaped as anywhere', () => {
  assert.equal(visible('👩\u200d🚀❤\ufe0f'), '👩\\u200d🚀❤\\ufe0f');
});

test('no text comes out with a hidden character, and escaping twice changes nothing', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      assertClean(visible(text));
      assert.equal(visible(text).includes('\n'), false);
      assertClean(visibleLines(text));
      assert.equal(visible(visible(text)), visible(text));
      assert.equal(visibleLines(visibleLines(text)), visibleLines(text));
      assert.equal(visibleLines(text).split('\n').map(visible).join('\n'), visibleLines(text));
      assert.equal(isHidden(text), visible(text) !== text);
    }),
    { numRuns: 2000 },
  );
});

test('JSON parses back to the very same value', () => {
  fc.assert(
    fc.property(anyText, anyText, (key, text) => {
      const value = { [key]: [text, 1, { text }] };
      for (const indent of [undefined, 2]) {
        const json = visibleJson(value, indent);
        assertClean(json);
        assert.deepEqual(JSON.parse(json), JSON.parse(JSON.stringify(value)));
        assert.equal(escapeJson(json), json);
      }
      const foreign = JSON.stringify(value, undefined, '\t').replaceAll('\n', '\r\n');
      assertClean(escapeJson(foreign));
      assert.deepEqual(JSON.parse(escapeJson(foreign)), JSON.parse(foreign));
    }),
    { numRuns: 2000 },
  );
});

test('what is cut is as short as was said, keeps both ends, and says how much is missing', () => {
  assert.equal(
    bounded('x'.repeat(150_000), 100),
    `${'x'.repeat(38)}… (149,944 characters left out) …${'x'.repeat(18)}`,
  );
  fc.assert(
    fc.property(longText, fc.integer({ min: 50, max: 3000 }), (text, maxBytes) => {
      const shown = bounded(text, maxBytes);
      assert.ok(Buffer.byteLength(shown) <= maxBytes, `${Buffer.byteLength(shown)} bytes`);
      assertClean(shown);
      assert.equal(bounded(shown, maxBytes), shown);
      if (Buffer.byteLength(visible(text)) <= maxBytes) assert.equal(shown, visible(text));
      else assert.match(shown, /… \([\d,]+ characters left out\) …/);
    }),
  );
});

test('a quoted name is short, clean, and when it is whole it reads back', () => {
  fc.assert(
    fc.property(fc.oneof(anyText, longText), (name) => {
      const quoted = quoteName(name);
      assert.ok(Buffer.byteLength(quoted) <= 202);
      assertClean(quoted);
      if (visibleJson(name).length <= 200) assert.equal(JSON.parse(quoted), name);
    }),
  );
});

test("an error's message and advice are short and clean, whatever was put into them", () => {
  fc.assert(
    fc.property(longText, (text) => {
      const path = `/tmp/${text}`;
      const error = new MlfsError('ERR_MLFS_FORMAT', `${path}: ${text}: the reason`, { path, advice: text });
      assertClean(`${error.message}${error.advice}`);
      assert.equal(error.message.includes('\n'), false);
      assert.ok(Buffer.byteLength(error.message) <= 2000 && Buffer.byteLength(error.advice ?? '') <= 1000);
      assert.ok(error.message.endsWith('the reason'));
      assert.equal(error.path, path);
    }),
  );
});
