"""What a stranger may send, made up by a fuzzer. Properties run it in every test run, libFuzzer longer."""
