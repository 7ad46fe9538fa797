/** package.json, package.nls.json, the ids in the code and the files they name agree with each other. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { COMMANDS, CONTEXT_KEYS, VIEWS } from '../../extension/commands/ids';

interface Menu {
  command?: string;
  submenu?: string;
}
interface Manifest {
  icon: string;
  capabilities: { untrustedWorkspaces: { restrictedConfigurations: string[] } };
  contributes: {
    commands: { command: string; category: string }[];
    menus: Record<string, Menu[]>;
    keybindings: { command: string }[];
    views: Record<string, { id: string; icon: string }[]>;
    configuration: {
      properties: Record<string, { default?: unknown; markdownDescription?: string; order?: number }>;
    }[];
    colors: { id: string }[];
    walkthroughs: { steps: { media: { svg: string } }[] }[];
  };
}

const text = (path: string): string => readFileSync(resolve(path), 'utf8');
const manifest = JSON.parse(text('package.json')) as Manifest;
const { contributes } = manifest;
const sources = readdirSync(resolve('extension'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !file.startsWith('engine/') && !file.startsWith('engine\\'))
  .map((file) => text(join('extension', file)))
  .join('\n');

describe('manifest', () => {
  const declared = contributes.commands.map(({ command }) => command);

  it('has the commands and views of the code, in one category', () => {
    assert.deepEqual(new Set(declared), new Set(Object.values(COMMANDS)));
    assert.deepEqual(new Set(contributes.commands.map(({ category }) => category)), new Set(['ONNX Lens']));
    assert.deepEqual(new Set(contributes.views['onnxLens']?.map(({ id }) => id)), new Set(Object.values(VIEWS)));
  });

  it('names only declared commands and known context keys in menus, key bindings and walkthroughs', () => {
    const named = [...Object.values(contributes.menus).flat(), ...contributes.keybindings].flatMap(
      ({ command }) => command ?? [],
    );
    for (const command of named) assert.ok(declared.includes(command), command);
    const raw = text('package.json') + text('package.nls.json');
    for (const [, command] of raw.matchAll(/(?:onCommand:|\(command:)(onnxLens\.\w+)/g))
      assert.ok(declared.includes(command ?? ''), command);
    for (const key of Object.values(CONTEXT_KEYS)) assert.ok(raw.includes(key), key);
  });

  it('has a text for every key, and no text that nobody uses', () => {
    const texts = JSON.parse(text('package.nls.json')) as Record<string, string>;
    const used = [...text('package.json').matchAll(/"%([^%"]+)%"/g)].map(([, key]) => key ?? '');
    assert.deepEqual(new Set(Object.keys(texts)), new Set(used));
    for (const [key, value] of Object.entries(texts)) assert.ok(value.trim().length > 0, key);
  });

  it('has all texts of the code ready to be translated', () => {
    const bundle = Object.keys(JSON.parse(text('l10n/bundle.l10n.json')) as Record<string, string>);
    const used = [...sources.matchAll(/l10n\s*\.t\(\s*'((?:[^'\\]|\\.)*)'/g)].map(([, key]) =>
      (key ?? '').replaceAll("\\'", "'"),
    );
    assert.deepEqual([...new Set(used)].sort(), bundle.sort());
  });

  it('describes every setting, gives it a default, and restricts those that name model files', () => {
    const settings = Object.assign(
      {},
      ...contributes.configuration.map(({ properties }) => properties),
    ) as Manifest['contributes']['configuration'][number]['properties'];
    for (const [name, { markdownDescription, order, ...rest }] of Object.entries(settings)) {
      assert.ok(markdownDescription !== undefined && order !== undefined && 'default' in rest, name);
      assert.ok(sources.includes(`'${name.replace('onnxLens.', '')}'`), `${name} is read nowhere`);
    }
    for (const name of manifest.capabilities.untrustedWorkspaces.restrictedConfigurations)
      assert.ok(name in settings, name);
  });

  it('names only files that exist, and declares every colour that the code uses', () => {
    const files = [
      manifest.icon,
      ...(contributes.views['onnxLens'] ?? []).map(({ icon }) => icon),
      ...contributes.walkthroughs.flatMap(({ steps }) => steps.map(({ media }) => media.svg)),
    ];
    for (const file of files) assert.ok(existsSync(resolve(file)), file);
    const colors = contributes.colors.map(({ id }) => id);
    for (const [, color] of sources.matchAll(/ThemeColor\('(onnxLens\.\w+)'\)/g))
      assert.ok(colors.includes(color ?? ''), color);
    for (let step = 1; step <= 7; step += 1)
      for (const scale of ['surprisal', 'attention', 'memory']) assert.ok(colors.includes(`onnxLens.${scale}${step}`));
  });
});
