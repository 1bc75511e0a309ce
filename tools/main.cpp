// The heed command.
int main() { return 0; }
