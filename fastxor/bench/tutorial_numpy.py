"""The from-scratch tutorial's own eight functions in plain numpy: the baseline that every comparison starts from."""

# mypy: ignore-errors

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def initialize_parameters(n_x, n_h, n_y):
    W1 = np.random.randn(n_h, n_x)
    b1 = np.zeros((n_h, 1))
    W2 = np.random.randn(n_y, n_h)
    b2 = np.zeros((n_y, 1))
    return {"W1": W1, "b1": b1, "W2": W2, "b2": b2}


def forward_prop(X, parameters):
    W1 = parameters["W1"]
    b1 = parameters["b1"]
    W2 = parameters["W2"]
    b2 = parameters["b2"]
    Z1 = np.dot(W1, X) + b1
    A1 = np.tanh(Z1)
    Z2 = np.dot(W2, A1) + b2
    A2 = sigmoid(Z2)
    cache = {"A1": A1, "A2": A2}
    return A2, cache


def calculate_cost(A2, Y):
    m = Y.shape[1]
    cost = -np.sum(np.multiply(Y, np.log(A2)) + np.multiply(1 - Y, np.log(1 - A2))) / m
    return np.squeeze(cost)


def backward_prop(X, Y, cache, parameters):
    m = X.shape[1]
    A1 = cache["A1"]
    A2 = cache["A2"]
    W2 = parameters["W2"]
    dZ2 = A2 - Y
    dW2 = np.dot(dZ2, A1.T) / m
    db2 = np.sum(dZ2, axis=1, keepdims=True) / m
    dZ1 = np.multiply(np.dot(W2.T, dZ2), 1 - np.power(A1, 2))
    dW1 = np.dot(dZ1, X.T) / m
    db1 = np.sum(dZ1, axis=1, keepdims=True) / m
    return {"dW1": dW1, "db1": db1, "dW2": dW2, "db2": db2}


def update_parameters(parameters, grads, learning_rate):
    W1 = parameters["W1"] - learning_rate * grads["dW1"]
    b1 = parameters["b1"] - learning_rate * grads["db1"]
    W2 = parameters["W2"] - learning_rate * grads["dW2"]
    b2 = parameters["b2"] - learning_rate * grads["db2"]
    return {"W1": W1, "b1": b1, "W2": W2, "b2": b2}


def model(X, Y, n_x, n_h, n_y, num_of_iters, learning_rate, *, print_cost=True, parameters=None):
    """The tutorial's loop; the two keyword extras let a benchmark start from given weights, in silence."""
    if parameters is None:
        parameters = initialize_parameters(n_x, n_h, n_y)
    for i in range(num_of_iters + 1):
        A2, cache = forward_prop(X, parameters)
        cost = calculate_cost(A2, Y)
        grads = backward_prop(X, Y, cache, parameters)
        parameters = update_parameters(parameters, grads, learning_rate)
        if print_cost and i % 100 == 0:
            print(f"Cost after iteration# {i:d}: {cost:f}")
    return parameters


def predict(X, parameters):
    A2, _ = forward_prop(X, parameters)
    return 1 if np.squeeze(A2) >= 0.5 else 0


def own_loop(functions, X, Y, parameters, iterations, learning_rate):
    """A learner's own loop over the functions, of this module or of one that has the same ones."""
    for _ in range(iterations):
        A2, cache = functions.forward_prop(X, parameters)
        functions.calculate_cost(A2, Y)
        grads = functions.backward_prop(X, Y, cache, parameters)
        parameters = functions.update_parameters(parameters, grads, learning_rate)
    return parameters


def main():
    """The tutorial's main program: train on XOR, then ask for (1, 1)."""
    np.random.seed(2)
    X = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
    Y = np.array([[0, 1, 1, 0]])
    parameters = model(X, Y, 2, 2, 1, 1000, 0.3)
    answer = predict(np.array([[1], [1]]), parameters)
    print(f"Neural Network prediction for example (1, 1) is {answer:d}")


if __name__ == "__main__":
    main()
