/** Typed, strict rules; the direction of imports from ARCHITECTURE.md; what a webview must not do. */
import js from '@eslint/js';
import lit from 'eslint-plugin-lit';
import wc from 'eslint-plugin-wc';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

/** `pattern` may not be imported, and why. Patterns are those of .gitignore. */
const forbid = (...bans) => ({
  'no-restricted-imports': [
    'error',
    { patterns: bans.map(([group, message]) => ({ group: [].concat(group), message })) },
  ],
});
const RUNTIME = ['onnxruntime-node', 'Only extension/engine/session talks to the runtime, in the engine process.'];
const VSCODE = ['vscode', 'Only the extension host has VS Code: this code also runs in plain Node.'];
const ENGINE = [['**/engine/**', '!**/protocol/**'], 'The engine is another process: ask it through extension/client.'];
const TOOLKIT = ['@vscode/webview-ui-toolkit', 'Registered once, in webviews/common/toolkit.ts.'];
/** Folders of the extension host. */
const HOST = ['client', 'commands', 'editor', 'panels', 'testing'];
const UPWARD = (folders) => [folders.map((name) => `**/${name}/**`), 'Imports go one way, see ARCHITECTURE.md.'];

export default defineConfig(
  globalIgnores(['artifacts', 'dist', 'out', 'node_modules', '.vscode-test', 'test/fixtures', 'models']),
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      'no-console': 'error',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/consistent-type-exports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // An index in bounds is proved by the code around it; the compiler's undefined is then asserted away on purpose.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/non-nullable-type-assertion-style': 'off',
      '@typescript-eslint/dot-notation': ['error', { allowIndexSignaturePropertyAccess: true }],
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      '@typescript-eslint/require-await': 'off',
      // Both mistake structural types for nominal ones: methods written in interfaces, and VS Code's Disposable.
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      // Code points of a string are what we mean where we spread one.
      '@typescript-eslint/no-misused-spread': ['error', { allow: ['string'] }],
      // Numeric code: a plain loop over a typed array is the fast and the clear way.
      '@typescript-eslint/prefer-for-of': 'off',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'no-restricted-syntax': [
        'error',
        { selector: 'ExportDefaultDeclaration', message: 'Named exports only.' },
        { selector: 'TSEnumDeclaration', message: 'A union of string literals says the same without code.' },
      ],
    },
  },
  { files: ['extension/**/*.ts'], rules: forbid(RUNTIME, ENGINE) },
  {
    files: ['extension/cloze/**/*.ts', 'extension/files/**/*.ts'],
    rules: forbid(RUNTIME, VSCODE, ENGINE, UPWARD([...HOST, 'models'])),
  },
  { files: ['extension/client/**/*.ts', 'extension/protocol/**/*.ts'], rules: forbid(RUNTIME, VSCODE, ENGINE) },
  {
    files: ['extension/engine/**/*.ts'],
    rules: forbid(RUNTIME, VSCODE, UPWARD(HOST)),
  },
  {
    files: ['extension/engine/analysis/**/*.ts'],
    rules: forbid(RUNTIME, VSCODE, UPWARD([...HOST, 'onnx'])),
  },
  {
    files: ['extension/engine/onnx/**/*.ts', 'extension/engine/text/**/*.ts'],
    rules: forbid(RUNTIME, VSCODE, UPWARD([...HOST, 'session', 'analysis', 'instrument', 'anatomy'])),
  },
  {
    files: ['extension/engine/anatomy/**/*.ts'],
    rules: forbid(RUNTIME, VSCODE, UPWARD([...HOST, 'session', 'analysis', 'instrument'])),
  },
  {
    files: ['extension/engine/instrument/**/*.ts'],
    rules: forbid(RUNTIME, VSCODE, UPWARD([...HOST, 'session', 'analysis'])),
  },
  {
    files: ['extension/engine/session/**/*.ts'],
    rules: forbid(VSCODE, UPWARD([...HOST, 'analysis'])),
  },
  {
    files: ['webviews/**/*.ts'],
    extends: [lit.configs['flat/recommended'], wc.configs['flat/recommended']],
    rules: {
      ...forbid(
        RUNTIME,
        VSCODE,
        TOOLKIT,
        [
          ['**/extension/**', '!**/extension/protocol', '!**/extension/protocol/**'],
          'A webview knows the protocol and nothing else of the extension.',
        ],
        [['node:*'], 'A webview runs in a browser.'],
      ),
      'lit/no-legacy-template-syntax': 'error',
      'lit/no-template-arrow': 'off',
      'lit/no-useless-template-literals': 'error',
      'lit/no-value-attribute': 'error',
      'no-restricted-syntax': [
        'error',
        { selector: 'ExportDefaultDeclaration', message: 'Named exports only.' },
        {
          selector: 'CallExpression[callee.name=/^(styleMap|unsafeHTML|unsafeSVG)$/]',
          message: 'Blocked by the policy, or unsafe.',
        },
        {
          selector: 'AssignmentExpression[left.property.name=/^(innerHTML|outerHTML)$/]',
          message: 'Text is never HTML.',
        },
      ],
    },
  },
  {
    files: ['webviews/common/toolkit.ts'],
    rules: forbid(RUNTIME, VSCODE),
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // A test doubts on purpose what the types promise.
      '@typescript-eslint/no-unnecessary-condition': 'off',
    },
  },
  { files: ['scripts/lens/**', 'scripts/bench/**', 'scripts/rig/**'], rules: { 'no-console': 'off' } },
  {
    files: ['**/*.mjs', '**/*.cjs'],
    languageOptions: {
      globals: Object.fromEntries(
        [
          'process',
          'console',
          'URL',
          'fetch',
          'setTimeout',
          'clearTimeout',
          'Buffer',
          'require',
          'module',
          '__dirname',
        ].map((name) => [name, 'readonly']),
      ),
    },
  },
);
